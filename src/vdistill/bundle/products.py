"""Which images of an index show the same product, as their metadata said when it was built."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from vdistill.arrays import Ints
from vdistill.inputs.item_keys import Key, products_of

Use: TypeAlias = Callable[[Callable[[sqlite3.Connection], Any]], Any]  # calls it with a connection to the items

# Images without a group are in neither table: each is a product of its own.
SCHEMA = """
    CREATE TABLE products (number INTEGER PRIMARY KEY, name TEXT NOT NULL, images INTEGER NOT NULL) STRICT;
    CREATE TABLE product_images (key INTEGER PRIMARY KEY, product INTEGER NOT NULL) STRICT;
    CREATE INDEX images_of_product ON product_images (product);
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
        sql = "SELECT key, product FROM product_images WHERE key IN (SELECT value FROM json_each(?))"
        wanted = keys.tolist()
        found = dict(self._rows(sql, wanted))
        return np.array([found.get(key, -1 - key) for key in wanted], np.int64)

    def images(self, numbers: Iterable[int]) -> np.ndarray:
        """The keys of all images of these products; a number below 0 is an image without a group."""
        known = list(numbers)
        sql = "SELECT key FROM product_images WHERE product IN (SELECT value FROM json_each(?)) ORDER BY key"
        found = [key for (key,) in self._rows(sql, [number for number in known if number >= 0])]
        return np.array([*found, *(-1 - number for number in known if number < 0)], np.uint64)

    def shown(self, keys: Iterable[int]) -> dict[int, Product]:
        """The products of these images, by key; one without a group is absent."""
        if not self.any:
            return {}
        sql = """SELECT key, name, images FROM product_images JOIN products ON number = product
                 WHERE key IN (SELECT value FROM json_each(?))"""
        return {key: Product(name, images) for key, name, images in self._rows(sql, list(keys))}

    def _rows(self, sql: str, values: list[int]) -> list[Any]:
        found: list[Any] = self._use(lambda connection: connection.execute(sql, (json.dumps(values),)).fetchall())
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
    ties = {key: (*groups.get(key, ()), ("content", sha256)) for key, sha256 in _copies(connection)}
    products = products_of({**groups, **ties})
    sizes = Counter(products.values())
    number = {name: place for place, name in enumerate(sorted(sizes))}
    rows = [(number[name], name, sizes[name]) for name in number]
    connection.executemany("INSERT INTO products VALUES (?, ?, ?)", rows)
    connection.executemany(
        "INSERT INTO product_images VALUES (?, ?)", ((key, number[name]) for key, name in sorted(products.items()))
    )


def _copies(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """Key and hash of the items whose file is equal to that of another."""
    sql = "SELECT sha256 FROM items WHERE sha256 != '' GROUP BY sha256 HAVING count(*) > 1"
    yield from connection.execute(f"SELECT key, sha256 FROM items WHERE sha256 IN ({sql})")
