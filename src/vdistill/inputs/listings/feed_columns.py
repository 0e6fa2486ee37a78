"""What the columns of a product feed mean here: which images a row names, under which ids, with which metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from vdistill.inputs.tables import Row

IMAGE_COLUMNS = ("image_link", "image_url")
MORE_IMAGES = ("additional_image_link", "additional_image_links")
ID_COLUMNS = ("file_name", "id")
# Google's attributes, which feeds spell in several ways: "image link", "g:image_link", "imageLink".
KNOWN = frozenset({
    *IMAGE_COLUMNS, *MORE_IMAGES, *ID_COLUMNS, "title", "description", "link", "item_group_id", "price", "sale_price",
    "availability", "brand", "product_type", "google_product_category", "condition", "gtin", "mpn", "color", "size",
    "material", "pattern", "gender", "age_group",
})  # fmt: skip
NO_IMAGE = "its row names no image"
NO_ADDRESS = "its image has no http or https address"
_NO_METADATA = frozenset({*IMAGE_COLUMNS, *MORE_IMAGES, "file_name"})
_PRICE = re.compile(r"(?P<before>[^\d\s.,-]*)\s*(?P<number>-?[\d.,'\u00a0\u202f ]*\d)\s*(?P<after>[^\d\s.,-]*)")
_BETWEEN_DIGITS = re.compile(r"['\s]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Of most addresses this says that they are absolute and sound, which to take them apart says five times as slowly.
_ABSOLUTE = re.compile(r"https?://[a-z0-9][a-z0-9.-]*/[\w/.~%:@!$&'()*+,=-]*(?:\?[\w/.~%:@!$&'()*+,=;-]+)?", re.ASCII)
_NEXT_IMAGE = re.compile(r"\s*,\s*(?=https?://|//)")  # some hosts have commas in their addresses


@lru_cache(1024)  # a feed has the same few in each row
def called(name: str) -> str:
    """The column's name as Google spells it, where it is one of Google's; else as it is."""
    plain = _CAMEL.sub("_", name.strip().removeprefix("g:")).lower().replace(" ", "_").replace("-", "_")
    return plain if plain in KNOWN else name


def renamed(row: Mapping[str, Any]) -> Row:
    """The row under Google's names, without empty cells."""
    return {called(name): value for name, value in row.items() if value not in (None, "", [])}


def images_of(row: Mapping[str, Any], base: str) -> list[tuple[int, str | None]]:
    """The images of a product by their places, from 1, each once; None for one without an http or https address.

    base: the address that relative ones are relative to.
    """
    found: dict[str | None, int] = {}
    for place, text in enumerate([_first(row, IMAGE_COLUMNS), *_listed(row)], start=1):
        if text:
            found.setdefault(_address(text, base), place)
    return [(place, address) for address, place in found.items()]


def id_of(row: Mapping[str, Any]) -> str:
    """What a row calls its product: "" for one that has no name."""
    return _first(row, ID_COLUMNS)


def metadata_of(row: Mapping[str, Any], name: str, *, several: bool) -> Row:
    """The row as metadata of the product's images.

    name: of the product, which is its group where it has several images and its row names no group.
    """
    found = {key: value for key, value in row.items() if key not in _NO_METADATA}
    if "group" not in found and (group := _text(found.pop("item_group_id", None)) or (name if several else "")):
        found["group"] = group
    if "id" in found:
        found["id"] = _text(found["id"])
    for column in [key for key in found if key == "price" or key.endswith("_price")]:
        amount, currency = _price(found[column])
        if amount is not None:
            found[column] = amount
            if currency:
                found.setdefault("currency", currency)
    return found


def _first(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The text of the first of these columns that has one; "" where none has."""
    for column in columns:
        if column in row and (text := _text(row[column])):
            return text
    return ""


def _text(value: Any) -> str:
    """A cell as text; the first of several."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _listed(row: Mapping[str, Any]) -> Iterator[str]:
    for column in MORE_IMAGES:
        if column not in row:
            continue
        value = row[column]
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield from (one.strip() for one in _NEXT_IMAGE.split(text))


def _address(text: str, base: str) -> str | None:
    """The absolute address; None for one that is not fetched."""
    if _ABSOLUTE.fullmatch(text):
        return text
    try:
        found = urljoin(base, text) if base or not text.startswith("//") else f"https:{text}"
        parts = urlsplit(found)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port is None or True)
    except ValueError:  # a port that is no number, a broken IPv6 address
        return None
    return found if usable else None


def _price(value: Any) -> tuple[float | None, str]:
    """Amount and currency: of "12.50 EUR", of a number, of {"value": "12.50", "currency": "EUR"}."""
    if isinstance(value, dict):
        amount, _ = _price(value.get("value"))
        return amount, _text(value.get("currency"))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value, ""
    found = _PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or (found["before"] and found["after"]):
        return None, ""
    return _number(_BETWEEN_DIGITS.sub("", found["number"])), found["before"] or found["after"]


def _number(text: str) -> float | None:
    """A number with a point or a comma before its decimals; the other of the two may part thousands."""
    comma = text.rfind(",") > text.rfind(".") and (("." in text) or not re.search(r",\d{3}$", text))
    plain = text.replace(".", "").replace(",", ".") if comma else text.replace(",", "")
    try:
        return float(plain)
    except ValueError:
        return None


def known_columns(names: Sequence[str]) -> str:
    """The columns that a feed has, for a message."""
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
