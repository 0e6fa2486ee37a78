"""Judgments follow the images that they are about: a renamed file, or a catalog that moved, is known by its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vdistill.records import Judgment


def following(judgments: Sequence[Judgment], hashes: Mapping[str, str]) -> list[Judgment]:
    """The judgments with the present ids of their images. hashes: of the contents of all images, by id.

    An id that still has the content it was judged with stays; of several images that have it, the first by id is taken.
    """
    shown = {item for one in judgments for item in one.items}
    known = {item: hashes[item] for item in shown if item in hashes}  # few of many, so looked up faster
    gone = {
        then
        for one in judgments
        if not unchanged(one, known)
        for item, then in zip(one.items, one.sha256, strict=True)
        if hashes.get(item) != then
    }  # fmt: skip
    if not gone:
        return list(judgments)
    now: dict[str, str] = {}
    for key, content in hashes.items():
        if content in gone:
            now[content] = min(key, now.get(content, key))
    return [_renamed(one, hashes, now) for one in judgments]


def unchanged(judgment: Judgment, hashes: Mapping[str, str]) -> bool:
    """Whether all images of a judgment still have the contents that it was made about."""
    return tuple(map(hashes.get, judgment.items)) == judgment.sha256


def _renamed(judgment: Judgment, hashes: Mapping[str, str], now: Mapping[str, str]) -> Judgment:
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    items = tuple(item if hashes.get(item) == then else now.get(then, item) for item, then in pairs)
    # Two images of one content may have been shown beside one another; as one item they would be a choice of itself.
    distinct = items != judgment.items and len(set(items)) == len(items)
    return replace(judgment, items=items) if distinct else judgment
