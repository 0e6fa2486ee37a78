"""Which images of an index show the same product, as their metadata said when it was built."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from vdistill.arrays import Ints
from vdistill.inputs.item_keys import Key, products_of

Use: TypeAlias = Callable[[Callable[[sqlite3.Connection], Any]], Any]  # calls it with a connection to the items

# Images without a group are in neither table: each is a product of its own. Which image shows which product is one row
# of two arrays (int64, little-endian), by key: a query looks up dozens of images, and reads two arrays at once.
SCHEMA = """
    CREATE TABLE products (number INTEGER PRIMARY KEY, name TEXT NOT NULL, images INTEGER NOT NULL) STRICT;
    CREATE TABLE product_images (keys BLOB NOT NULL, products BLOB NOT NULL) STRICT;
    CREATE INDEX products_of_several_images ON products (number) WHERE images > 1;
"""


@dataclass(frozen=True, slots=True)
class Product:
    """What a group of images shows.  name: by its group.  images: how many the index has of it."""

    name: str
    images: int


class Products:
    """The products of an open index. May be shared between threads.

    In an index of an older version every image is a product of its own.
    """

    def __init__(self, use: Use) -> None:
        self._use = use

    @cached_property
    def any(self) -> bool:
        """Whether any image has a group."""
        return self._exists("SELECT 1 FROM products LIMIT 1")

    @cached_property
    def several(self) -> bool:
        """Whether any product has several images."""
        return self.any and self._exists("SELECT 1 FROM products WHERE images > 1 LIMIT 1")

    def numbers(self, keys: np.ndarray) -> Ints:
        """(n,) the product of each image, by the keys of their vectors; one without a group has a number below 0."""
        known, products = self._of_images
        wanted = keys.astype(np.int64)
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[place] == wanted, products[place], -1 - wanted)

    def images(self, numbers: Iterable[int]) -> np.ndarray:
        """The keys of all images of these products; a number below 0 is an image without a group."""
        known, products = self._of_images
        wanted = np.array([*numbers], np.int64)
        alone = -1 - wanted[wanted < 0]
        return np.concatenate([known[np.isin(products, wanted)], alone]).astype(np.uint64)

    def shown(self, keys: Sequence[int]) -> dict[int, Product]:
        """The products of these images, by key; one without a group is absent."""
        if not self.any or not keys:
            return {}
        sql = "SELECT number, name, images FROM products WHERE number IN (SELECT value FROM json_each(?))"
        numbers = dict(zip(keys, self.numbers(np.array(keys)).tolist(), strict=True))
        rows = self._all(sql, json.dumps(list(numbers.values())))
        found = {number: Product(name, images) for number, name, images in rows}
        return {key: found[number] for key, number in numbers.items() if number in found}

    @cached_property
    def _of_images(self) -> tuple[Ints, Ints]:
        """The keys of the images with a group, ascending, and the product of each."""
        keys, products = self._all("SELECT keys, products FROM product_images")[0]
        return np.frombuffer(keys, "<i8"), np.frombuffer(products, "<i8")

    def _all(self, sql: str, *values: str) -> list[Any]:
        found: list[Any] = self._use(lambda connection: connection.execute(sql, values).fetchall())
        return found

    def _exists(self, sql: str) -> bool:
        def read(connection: sqlite3.Connection) -> bool:
            table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'products'").fetchone()
            return table is not None and connection.execute(sql).fetchone() is not None

        return bool(self._use(read))


def write_products(connection: sqlite3.Connection, groups: dict[int, tuple[Key, ...]]) -> None:
    """Fill the tables.  groups: of the items that have any, by key."""
    if not groups:
        return
    products = products_of(groups)
    sizes = Counter(products.values())
    number = {name: place for place, name in enumerate(sorted(sizes))}
    connection.executemany("INSERT INTO products VALUES (?, ?, ?)", [(number[one], one, sizes[one]) for one in number])
    images = np.array(sorted((key, number[name]) for key, name in products.items()), "<i8")
    connection.execute("INSERT INTO product_images VALUES (?, ?)", (images[:, 0].tobytes(), images[:, 1].tobytes()))
