"""What the fit of an index is made from: the workspace's judgments, and the vectors that were just written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from vdistill.bundle.fit import FitModel, context_of
from vdistill.bundle.manifest import Entry
from vdistill.bundle.pack import Place
from vdistill.bundle.store import SAMPLE, Store
from vdistill.bundle.text_encoder import TextEncoder
from vdistill.database import Database
from vdistill.encoders.text_vectors import Encode, TextVectors
from vdistill.evaluation import accepted
from vdistill.index.fit import digest, first_by_hash, fitted, hits_of, reach_of
from vdistill.inputs.sides import Sides
from vdistill.records import title_of
from vdistill.workspace import Workspace

MOST_TEXTS, MOST_TITLES = 500, 300  # that reach is learnt from: a second of an encoder's time, and enough


def fit_of(
    workspace: Workspace, folder: Place, entry: Entry, before: Entry | None, others: Iterable[Entry] = ()
) -> dict[str, Any] | None:
    """The fit of an index whose files are written; None where the judgments do not tell, or say too little.

    before: the index that this one replaces; its fit is taken over where nothing has changed that it depends on, and
    where scipy is missing (vdistill-core), as long as the model is the same.  others: indexes of other models, whose
    reach is taken over where it would be the same.
    """
    with Database.existing(workspace) as database:
        if database is None or not database.rejections.any():
            return None
        made_from = digest(
            entry.model_fingerprint, entry.text_fingerprint, entry.items.sha256, database.rejections.state()
        )
        known = before.fit if before and before.model_fingerprint == entry.model_fingerprint else None
        if find_spec("scipy") is None or (known is not None and known.get("made_from") == made_from):
            return None if known is None else dict(known)
        store = Store.of(folder, entry)
        try:
            encode = _by_length(TextEncoder.open(store.encoder_folder(entry.text_encoder)).encode)
            reach_from = digest(entry.text_fingerprint, entry.catalog, entry.count, database.rejections.state())
            same = (one.fit["reach"] for one in others if one.fit and one.fit.get("reach_from") == reach_from)
            reach = next(map(tuple, same), None)
            if reach is None:
                reach = _reach(database, store, TextVectors(workspace, entry.text_fingerprint, entry.dim), encode)
            found = _fitted(database, store, encode, reach)
        finally:
            store.close()
    return None if found is None else replace(found, made_from=made_from, reach_from=reach_from).to_json()


def _by_length(encode: Encode) -> Encode:
    """The same vectors in two thirds of the time: texts of one length take no padding."""

    def encoded(texts: Sequence[str]) -> np.ndarray:
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = encode([texts[place] for place in order])
        found = np.empty_like(vectors)
        found[order] = vectors
        return found

    return encoded


def _fitted(database: Database, store: Store, encode: Encode, reach: tuple[float, ...]) -> FitModel | None:
    sides = Sides.read(database)
    shown = {item for one in database.judgments("heldout") for item in one.items}
    shown |= {item for _, one in database.rejections.keyed("heldout") for item in one.items}
    indexed = store.items.known(sorted(shown))
    hashes = {item: row.sha256 for item, row in indexed.items()}
    said = accepted.held_out(database, hashes, sides)
    if not said.known:
        return None
    ids = sorted(indexed)
    matrix = store.vectors(np.array([indexed[item].key for item in ids], np.uint64))
    texts = [*said.known, *said.unanswered]
    vectors = dict(zip(texts, encode(texts), strict=True))
    hits = hits_of(
        said.known, said.unanswered, vectors, (ids, matrix), lambda vector: context_of(vector, store.sample, reach)
    )
    found = fitted(hits, reach)
    if found is None:
        return None
    facts = {
        "judge": said.judge.teacher if said.judge else None, "queries": len(hits.queries),
        "unanswered": int((~hits.answered).sum()), "hits": len(hits.accepted),
    }  # fmt: skip
    return replace(found, facts=facts)


def _reach(database: Database, store: Store, kept: TextVectors, encode: Encode) -> tuple[float, ...]:
    answered, unanswered = (first_by_hash(texts, MOST_TEXTS) for texts in accepted.training(database))
    rows = store.items.rows_of(store.items.some_keys(SAMPLE)).values()
    titles = first_by_hash([title for row in rows if (title := title_of(json.loads(row.metadata)))], MOST_TITLES)
    found = reach_of(*(kept.of(texts, encode) for texts in (answered, titles, unanswered)))
    kept.save()
    return found
