"""What a student with perfect sight would reach in a made-up shop: what is missing beyond it, words must bring.

    python examples/gift_shop/make_shop.py --out SHOP; cp examples/gift_shop/vdistill.toml SHOP
    python examples/gift_shop/make_backbone.py --out SHOP/backbone; (cd SHOP && vdistill label)
    python tests/benchmarks/perfect_sight.py SHOP [--stock gift|hobby]

Item vectors are an MLP over the frozen text tower's vector of the item's title, trained on the training judgments by
the listwise loss. Two figures of nDCG@10 by the shop's qrels, two seeds each: on the held-out queries and items; and
cross-validated on the training part, where each fold sets a quarter of each interest's phrases and of the items aside,
so that nothing of the held-out part is looked at.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
from pathlib import Path

import made_shop
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from vdistill.database import Database
from vdistill.distill import choices
from vdistill.distill.choices import Calls
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.evaluation import metrics
from vdistill.evaluation.grading import evaluate, means
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.inputs import catalog as catalogs
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"
FOLDS, EPOCHS, BATCH, LR, TEMPERATURE = 4, 6, 256, 1e-3, 0.08


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, nargs="?", default=made_shop.SHOP)
    parser.add_argument("--stock", choices=["gift", "hobby"], default="gift")
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        made_shop.require(options.shop, "qrels.txt", ".vdistill/vdistill.db")
    os.chdir(options.shop)
    encoder = DualEncoder.load("backbone", device="cpu")
    with Database.open(Path(".vdistill/vdistill.db"), write=False) as database:
        items = catalogs.scan(Path("catalog")).items
        with Hashes.open(None) as hashes:
            sides = Sides.read(database).of_items(items, hashes.of(items))
        calls, queries = choices.read(database.judgments("train")), database.queries()
    qrels = read_qrels(Path("qrels.txt"))
    held_out = from_qrels(qrels, "qrels", queries, Candidates(items, sides.split))
    titles = {item.id: item.title or "" for item in items}

    def encode(texts: list[str]) -> Tensor:
        return torch.from_numpy(encoder.encode_texts(texts))

    unseen = encode([titles[key] for key in held_out.items])
    asked, named = (encoder.encode_texts(texts) for texts in (held_out.queries, held_out.titles))
    for seed in (0,) if options.quick else (0, 1):
        see = fitted(calls, encode([titles[key] for key in calls.items]), encode(list(calls.queries)), seed)
        found = means(evaluate(held_out, see(unseen).numpy(), asked, named))
        print(f"held out, seed {seed}: nDCG@10 {found['ndcg@10']:.3f}, mpr {found['mpr']:.3f}", flush=True)
    if options.quick:
        return
    grades = {query.text: qrels.get(query.id, {}) for query in queries}
    for seed in (0, 1):
        values = np.array(list(validated(calls, titles, grades, phrases(calls, options.stock), encode, seed)))
        error = values.std() / len(values) ** 0.5
        print(
            f"cross-validated, seed {seed}: nDCG@10 {values.mean():.3f} ± {error:.3f}, {len(values)} queries",
            flush=True,
        )


def fitted(calls: Calls, titles: Tensor, queries: Tensor, seed: int):
    """The trained reader of titles: (n, dim) vectors to (n, dim) unit vectors."""
    torch.manual_seed(seed)
    dim = titles.shape[1]
    net = torch.nn.Sequential(torch.nn.Linear(dim, 1024), torch.nn.GELU(), torch.nn.Linear(1024, dim))
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.05)
    target, shown, image, query = (
        torch.from_numpy(part) for part in (calls.target, calls.shown, calls.image, calls.query)
    )
    total, done = EPOCHS * -(-len(query) // BATCH), 0
    for _ in range(EPOCHS):
        order = torch.randperm(len(query))
        for start in range(0, len(query), BATCH):
            rows = order[start : start + BATCH]
            optimizer.param_groups[0]["lr"] = LR * 0.5 * (1 + np.cos(np.pi * done / total))
            used, place = torch.unique(query[rows], return_inverse=True)
            scores = queries[used] @ normalize(titles + net(titles), dim=-1).T / TEMPERATURE
            scores = scores[place[:, None], image[rows]].masked_fill(~shown[rows], -1e9)
            loss = -(target[rows] * log_softmax(scores, dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    return lambda vectors: normalize(vectors + net(vectors), dim=-1).detach()


def validated(calls: Calls, titles: dict, grades: dict, phrase: list, encode, seed: int):
    """nDCG@10 of each training query, by a reader that saw neither its phrase nor the items."""
    fold_of, item_fold = folds(phrase), np.random.default_rng(3).integers(0, FOLDS, len(calls.items))
    query_fold = np.array([fold_of[one] for one in phrase])
    for fold in range(FOLDS):
        rest = calls.without(query_fold == fold, item_fold == fold)
        see = fitted(rest, encode([titles[key] for key in rest.items]), encode(list(rest.queries)), seed)
        ours = [calls.items[place] for place in np.flatnonzero(item_fold == fold)]
        texts = [calls.queries[place] for place in np.flatnonzero(query_fold == fold)]
        scores = (encode(texts) @ see(encode([titles[key] for key in ours])).T).numpy()
        for text, row in zip(texts, scores, strict=True):
            gains = np.array([grades[text].get(key, 0) for key in ours], float)
            if gains.any():
                yield metrics.ndcg(row, gains)


def phrases(calls: Calls, stock: str) -> list[tuple[str, str]]:
    """For each query its interest and the phrase that says it, the longest of those that it holds."""
    sys.path.insert(0, str(EXAMPLE))
    words = importlib.import_module(f"shop.stocks.{stock}_phrases_train")
    known = [(interest, phrase) for interest, some in words.INTERESTS.items() for phrase in some]
    return [max((one for one in known if one[1] in text), key=lambda one: len(one[1])) for text in calls.queries]


def folds(phrase: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The phrases of each interest in folds of equal size."""
    rng, found = random.Random(5), {}
    for interest in sorted({one[0] for one in phrase}):
        mine = sorted({one for one in phrase if one[0] == interest})
        rng.shuffle(mine)
        found |= {one: place % FOLDS for place, one in enumerate(mine)}
    return found


if __name__ == "__main__":
    main()
