"""Which side of the held-out split an item or a query is on: the one place that decides, for every command.

What was judged is registered in the workspace and keeps its side, whatever its file, its name or its row says later.
The rest is placed by a hash: an item by its group (a column `group`, `item_id` or `sku`) where it has one, else by its
content; a query by its persona where it has one, else by its text. Items of equal content or of one group are on one
side.
"""

from __future__ import annotations

import functools
import operator
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vdistill.database import Database
from vdistill.inputs.item_keys import Key, family_of, product_notes, products_of
from vdistill.inputs.keys_by_id import Keys
from vdistill.inputs.split import split_of
from vdistill.inputs.views import View
from vdistill.records import Item, Query, Split

VERSION = 2  # of how items are placed; 1: by their ids, in workspaces that were labelled that way

_TRAIN, _HELDOUT, _BOTH = 1, 2, 3
_BIT: dict[Split, int] = {"train": _TRAIN, "heldout": _HELDOUT}
_SIDE: dict[int, Split] = {_TRAIN: "train", _HELDOUT: "heldout"}


@dataclass(frozen=True)
class ItemSides:
    """Where the items of a catalog are.

    split: by id; an item that is on neither side is absent.  aside: the ids of those: their group or content is
    registered on both sides, so training on them would leak held-out items.  keys: of each item.
    no_name: (item, column) of groups that cannot be used.
    """

    split: Mapping[str, Split]
    aside: tuple[str, ...]
    keys: Keys
    no_name: tuple[tuple[str, str], ...] = ()

    def of(self, split: Split) -> list[str]:
        """The ids on one side, in order."""
        return sorted(key for key, side in self.split.items() if side == split)

    def rows(self, ids: Iterable[str]) -> list[tuple[str, str, Split]]:
        """What to register of these items."""
        return [(*key, self.split[one]) for one in ids if one in self.split for key in (*self.keys[one], ("id", one))]

    def families(self) -> Mapping[str, str]:
        """For each item a name that it shares with all items of its group or content, and with no others."""
        family = family_of(self.keys)
        return View(self.keys.ids, lambda one: family(one)[1])

    def products(self) -> dict[str, str]:
        """The name of the product that each item shows, by id; one that is absent is a product of its own."""
        return products_of(self.keys.grouped)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self._aside_note(), *product_notes(self.keys.grouped, self.no_name))

    def _aside_note(self) -> Iterator[str]:
        if self.aside:
            yield (
                f"{len(self.aside):,} items are used for neither training nor testing, e.g. {self.aside[0]!r}: others "
                "of their group or content were judged on both sides of the held-out split"
            )


@dataclass(frozen=True)
class Sides:
    """The sides of a workspace.

    queries, personas: the registered ones. items: the registered keys of items. version: how the others are placed.
    paraphrases: other wordings of training queries, which a student may have trained on.
    """

    holdout: float
    queries: Mapping[str, Split] = field(default_factory=dict)
    personas: Mapping[str, Split] = field(default_factory=dict)
    items: Mapping[Key, Split] = field(default_factory=dict)
    version: int = VERSION
    paraphrases: frozenset[str] = frozenset()

    @classmethod
    def read(cls, database: Database | None, holdout: float | None = None) -> Sides:
        """What `database` has registered; `holdout` overrides the share that it remembers.

        With another share than the remembered one, nothing counts as registered until something was judged.
        """
        if database is None:
            return cls(holdout or 0.0)
        known = float(database.setting("holdout") or 0.0)
        share = known if holdout is None else holdout
        if share != known and not database.judgment_count():
            return cls(share)
        version = int(database.setting("split_version") or VERSION)
        wordings = frozenset(plain(text) for texts in database.paraphrases.by_query().values() for text in texts)
        return cls(share, *_registered(database.queries()), database.item_sides(), version, wordings)

    def of_query(self, text: str, persona: str | None = None, said: Split | None = None) -> Split:
        """The registered side of a query, else what the user `said`, else that of its persona, else by hash.

        What is known as another wording of a training query is on its side, whatever was said.
        """
        if plain(text) in self.paraphrases and plain(text) not in self.queries:
            return "train"
        known = self.queries.get(plain(text)) or said or self.personas.get(plain(persona or ""))
        if known is not None:
            return known
        key = persona or text
        return split_of("query", key if self.version < VERSION else plain(key), self.holdout)

    def of_registered(self, query: str, otherwise: Split) -> Split:
        """The side of a judged query; `otherwise` where it was never registered."""
        return self.queries.get(plain(query), otherwise)

    def of_items(
        self, items: Iterable[Item], hashes: Mapping[str, str], said: Mapping[str, Split] | None = None
    ) -> ItemSides:
        """Where each item is.

        hashes: of the contents, by id; an item without one is placed by its id.
        said: sides by content hash from elsewhere (an export); what is registered here takes precedence.
        """
        keys, said = Keys(items, hashes), said or {}
        tied = keys.tied()
        members: dict[Key, list[str]] = defaultdict(list)
        family_in = family_of(tied)
        for one in tied:
            members[family_in(one)].append(one)
        split: dict[str, Split] = {}
        for family, ids in members.items():
            split.update(self._of_family(family, ids, keys, said))
        split.update(self._by_content((one for one in keys if one not in tied), hashes, keys, said))
        aside = tuple(sorted(keys.ids.keys() - split.keys())) if len(split) < len(keys) else ()
        return ItemSides(split, aside, keys, tuple(keys.no_name))

    def _by_content(
        self, ids: Iterable[str], hashes: Mapping[str, str], keys: Keys, said: Mapping[str, Split]
    ) -> Iterator[tuple[str, Split]]:
        """The sides of items without a group, as `_of_family`: of a large catalog nearly all, and each for itself."""
        first: dict[str, str] = {}
        others: dict[str, list[str]] = defaultdict(list)
        for one in ids:
            if not (content := hashes.get(one)):
                yield from self._of_family(("id", one), [one], keys, said).items()
            elif first.setdefault(content, one) != one:
                others[content].append(one)
        unknown = not self.items and not said
        for content, one in first.items():
            if content not in others and (unknown or not self._known(one, keys[one], said)):
                yield one, split_of("item", content if self.version >= VERSION else one, self.holdout)
            else:
                some = [one, *others.get(content, ())]
                yield from self._of_family(("content", content), some, keys, said).items()

    def _of_family(
        self, family: Key, ids: Sequence[str], keys: Mapping[str, tuple[Key, ...]], said: Mapping[str, Split]
    ) -> dict[str, Split]:
        """The side of each item that is tied to the others; absent where it is on neither."""
        own = {one: self._known(one, keys[one], said) for one in ids}
        sides = _strongest(functools.reduce(operator.or_, own.values()))
        if sides == _BOTH:
            return {one: "heldout" for one in ids if _strongest(own[one]) == _HELDOUT}
        name = family[1] if self.version >= VERSION else min(ids)
        return dict.fromkeys(ids, _SIDE.get(sides) or split_of("item", name, self.holdout))

    def _known(self, one: str, keys: tuple[Key, ...], said: Mapping[str, Split]) -> int:
        """What is known of an item itself: bits of its sides, shifted by how much they weigh.

        Its content and groups weigh most, so that a renamed file keeps its side; its name counts for a file that was
        edited in place.
        """
        bits = 0
        for key in keys:
            if key != ("id", one) and key in self.items:
                bits |= _BIT[self.items[key]] << 4
            if key[0] == "content" and key[1] in said:
                bits |= _BIT[said[key[1]]] << 2
        if ("id", one) in self.items:
            bits |= _BIT[self.items["id", one]]
        return bits


def plain(text: str) -> str:
    """A text without differences that do not matter: letter case, spaces, ways to write an accent."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def moved(queries: Iterable[Query]) -> list[Query]:
    """The queries whose file asks for another side than the one they are on."""
    return [query for query in queries if query.said is not None and query.said != query.split]


def _registered(queries: Iterable[Query]) -> tuple[dict[str, Split], dict[str, Split]]:
    """The sides of texts and of personas. Those on both sides (in old workspaces) count as held out."""
    texts: dict[str, Split] = {}
    personas: dict[str, Split] = {}
    for query in queries:
        for found, key in ((texts, plain(query.text)), (personas, plain(query.persona or ""))):
            if key and found.get(key) != "heldout":
                found[key] = query.split
    return texts, personas


def _strongest(bits: int) -> int:
    """The sides that the strongest of the known bits name."""
    return bits >> 4 & 3 or bits >> 2 & 3 or bits & 3
