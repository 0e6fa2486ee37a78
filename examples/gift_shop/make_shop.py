"""Make a shop: images, metadata, persona queries, simulated shoppers, qrels. Same seed, same shop.

`--shop hobbies` makes the other one: other products, persons and words, that no setting was chosen by.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from shop.attributes import matches, price_of
from shop.descriptions import describe
from shop.personas import PersonaQuery, persona_queries
from shop.render import Product, drawing, products
from shop.shoppers import ACCEPTED, grade, scores
from shop.stocks import Stock
from shop.stocks.gifts import GIFTS
from shop.stocks.hobbies import HOBBIES
from shop.unanswered import UnansweredQueries, unanswered_queries

VERSION = "5"
SIDES = (96, 224)
STOCKS = {"gifts": GIFTS, "hobbies": HOBBIES}
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Make the shop where it is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", choices=STOCKS, default="gifts")
    parser.add_argument("--out", type=Path, help="default: this folder, or hobby_shop/ in it")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    out = options.out or (HERE if options.shop == "gifts" else HERE / "hobby_shop")
    stamp = out / "catalog" / ".made"
    wanted = f"{VERSION} {options.shop} seed {options.seed}"
    if stamp.is_file() and stamp.read_text() == wanted:
        print(f"the shop is there already: {out}")
        return
    make(STOCKS[options.shop], out, options.seed)
    stamp.write_text(wanted)


def make(stock: Stock, out: Path, seed: int) -> None:
    """Write catalog/, queries.jsonl, shoppers.parquet and qrels.txt into `out`."""
    goods = products(stock.kinds)
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(goods))  # file names in no telling order
    goods = [goods[i] for i in order]
    prices = [price_of(stock, product, rng) for product in goods]
    names = [f"images/{number:04}.jpg" for number in range(1, len(goods) + 1)]
    (out / "catalog" / "images").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        jobs = [
            (product, out / "catalog" / name, [seed, 2, i])
            for i, (product, name) in enumerate(zip(goods, names, strict=True))
        ]
        list(pool.map(_draw, jobs, chunksize=16))
    rows = [
        {
            "file_name": name,
            "sku": Path(name).stem,  # the held-out split goes by it, whatever a JPEG library makes of the pixels
            "title": product.title,
            "price": price,
            **describe(stock, product, np.random.default_rng([seed, 3, i])),
        }
        for i, (name, product, price) in enumerate(zip(names, goods, prices, strict=True))
    ]
    _write_lines(out / "catalog" / "metadata.jsonl", [json.dumps(row, ensure_ascii=False) for row in rows])
    queries = persona_queries(stock, seed)
    unanswered = unanswered_queries(stock, seed)
    _write_queries(out / "queries.jsonl", queries, unanswered)
    if unanswered.unseen:
        _write_lines(out / "unanswered.txt", unanswered.unseen)
    _write_judges(stock, out, seed, queries, goods, prices, names)
    print(f"{len(goods)} products, {len(queries)} persona queries, simulated shoppers and qrels in {out}")


def _draw(job: tuple[Product, Path, list[int]]) -> None:
    product, path, seed = job
    drawing(product, np.random.default_rng(seed), SIDES).save(path, quality=92)


def _write_queries(path: Path, queries: list[PersonaQuery], unanswered: UnansweredQueries) -> None:
    """The queries; those that nothing in the shop answers say so, and are asked of nobody."""
    rows: list[dict[str, object]] = [
        {"id": q.id, "query": q.text, "persona": q.persona, "split": q.split}
        | ({"paraphrases": q.paraphrases} if q.paraphrases else {})
        for q in queries
    ]
    for split, texts in (("train", unanswered.train), ("heldout", unanswered.heldout)):
        for number, text in enumerate(texts, start=1):
            rows.append({"id": f"{split}-unanswered-{number:03}", "query": text, "split": split, "answered": False})
    _write_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])


def _write_judges(
    stock: Stock,
    out: Path,
    seed: int,
    queries: list[PersonaQuery],
    goods: list[Product],
    prices: list[float],
    names: list[str],
) -> None:
    """The simulated shoppers' table, and the qrels, both from the hidden attributes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables, qrels = [], []
    for number, query in enumerate(queries):
        fits = matches(stock, query.wish, goods, prices)
        said = scores(fits, np.random.default_rng([seed, 4, number]))
        # An empty item: what a shopper accepts, rather than none of what is shown.
        columns = {"item": [*names, ""], "score": np.append(said, ACCEPTED).astype(np.float32)}
        tables.append(pa.table({"query": [query.text] * len(columns["item"]), **columns}))
        grades = [grade(float(fit)) for fit in fits]
        qrels += [f"{query.id} 0 {name} {found}" for name, found in zip(names, grades, strict=True) if found]
    pq.write_table(pa.concat_tables(tables), out / "shoppers.parquet", compression="zstd")
    _write_lines(out / "qrels.txt", qrels)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
