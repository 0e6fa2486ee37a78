"""Made-up items and queries whose true vectors are known, and models that see them with noise."""

import numpy as np

from vdistill.inputs.split import split_of
from vdistill.records import Query

HOLDOUT = 0.5
RNG = np.random.default_rng(0)
IDS = [f"img/{number:03d}.png" for number in range(120)]
HELD = [key for key in IDS if split_of("item", key, HOLDOUT) == "heldout"]
QUERIES = [Query(f"q{number}", f"query {number}", "heldout" if number < 12 else "train") for number in range(20)]
TITLES = {key: f"<b>thing</b> {number}" for number, key in enumerate(IDS)}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


ITEMS = dict(zip(IDS, unit(RNG.normal(size=(len(IDS), 32))), strict=True))
TEXTS = {query.text: vector for query, vector in zip(QUERIES, unit(RNG.normal(size=(len(QUERIES), 32))), strict=True)}
TEXTS |= {TITLES[key]: ITEMS[key] for key in IDS}


class Vectors:
    """An index of the true vectors with so much noise, which records what it is asked for."""

    catalog_root = "catalog"

    def __init__(self, noise, ids=IDS):
        rng = np.random.default_rng(1)
        self.ids = list(ids)
        self._vectors = {key: unit(ITEMS[key] + noise * rng.normal(size=32)) for key in IDS}
        self.asked, self.encoded = set(), set()

    def encode(self, texts):
        self.encoded.update(texts)
        return np.stack([TEXTS[text] for text in texts])

    def vectors(self, ids):
        self.asked.update(ids)
        return np.stack([self._vectors[key] for key in ids])

    def metadata(self, ids):
        return [{"title": TITLES[key]} for key in ids]

    def files(self, ids):
        return [f"{self.catalog_root}/{key}" for key in ids]

    def hashes(self, ids):
        return dict.fromkeys(ids, "")
