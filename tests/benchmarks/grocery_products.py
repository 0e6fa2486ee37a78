"""Photographs by product: `python tests/benchmarks/grocery_products.py [--seeds 3]`.

81 groceries with 16 photographs each; `group` is the product. The backbone is that of the gift shop, whose image tower
knows drawings and has never seen a photograph, so that both columns start low. Simulated shoppers ask for what they
cook; a need is met by some categories, and every product of one of them. The qrels name products. Prints what `bench`
says by product and by image, with 95 % intervals.
"""

import argparse
import csv
import hashlib
import json
import shutil
import sys
import tempfile
import time
from math import nan
from pathlib import Path

import made_shop
from commands import EXAMPLE, run, vdistill
from speed_model import DATA, photographs

HOLDOUT = 0.4  # of 81 products; a fifth would leave hardly more than the ten that nDCG@10 looks at
METRICS = ("ndcg@10", "recall@10", "mpr", "literal_recall@1", "literal_recall@10")

# What a shopper is about to make: categories that suit it well, and those that suit it somewhat.
NEEDS = {
    "a smoothie": ("Banana Mango Kiwi Yoghurt Soyghurt Oatghurt", "Papaya Peach Nectarine Pineapple Milk Juice"),
    "a green salad": ("Cucumber Tomato Avocado Pepper", "Onion Cabbage Carrots Lemon"),
    "a winter soup": ("Leek Carrots Potato Onion", "Cabbage Garlic Ginger Mushroom"),
    "breakfast with muesli": ("Milk Yoghurt Sour-Milk Oat-Milk Soy-Milk", "Banana Apple Juice Oatghurt"),
    "a fruit pie": ("Apple Plum Pear Peach", "Nectarine Lemon Sour-Cream Milk"),
    "a curry": ("Ginger Garlic Onion Pepper", "Mango Tomato Potato Aubergine"),
    "a citrus marmalade": ("Orange Lemon Lime Red-Grapefruit Satsumas", "Ginger Juice"),
    "a tropical party": ("Pineapple Mango Papaya Passion-Fruit", "Melon Lime Banana Pomegranate Juice"),
    "roasted vegetables": ("Aubergine Zucchini Pepper Red-Beet", "Potato Onion Tomato Asparagus Mushroom"),
    "a drink without milk": ("Juice Oat-Milk Soy-Milk", "Lemon Orange Soyghurt"),
}
PHRASES = (
    "what I need for {}", "{}", "I am making {} tonight", "ingredients of {}", "my aunt asked for {}",
    "something for {}", "we plan {} on Sunday", "shopping list: {}", "I feel like {}", "the best there is for {}",
    "help me prepare {}", "guests are coming, there will be {}",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--budget", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--quick", action="store_true", help="few calls, one epoch, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        made_shop.require()
        if not (DATA / "grocery").is_dir():
            print(f"not run: there are no photographs in {DATA / 'grocery'}")
            return
        options.budget, options.epochs = 40, 1
    photographs()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_shop(home, 9 if options.quick else 1)
        if options.quick:
            shutil.copytree(made_shop.SHOP / "backbone", home / "backbone")
        else:
            run([sys.executable, "make_backbone.py", "--out", home / "backbone"], EXAMPLE)
        for seed in range(options.seeds):
            shutil.rmtree(home / ".vdistill", ignore_errors=True)
            started = time.monotonic()
            vdistill(home, "label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.jsonl",
                     "--backbone", "backbone", "--holdout", HOLDOUT, "--budget", options.budget,
                     "--seed", seed)  # fmt: skip
            vdistill(home, "distill", "--lr", options.lr, "--epochs", options.epochs, "--seed", seed, "--keep-anyway")
            found = {per: json.loads(vdistill(home, "bench", "--qrels", "qrels.txt", "--per", per, "--json"))
                     for per in ("product", "image")}  # fmt: skip
            print(f"\nseed {seed}, {time.monotonic() - started:.0f} s")
            for per, document in found.items():
                show(per, document)


def write_shop(home: Path, step: int) -> None:
    """The catalog by product, the shoppers' queries, what they like (for the teacher), and qrels that name products.

    step: of the photographs, of which each so many-th is taken.
    """
    rows = [json.loads(line) for line in (DATA / "grocery" / "metadata.jsonl").read_text().splitlines()[::step]]
    (home / "catalog").mkdir()
    for row in rows:
        (home / "catalog" / row["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / "grocery" / row["file_name"], home / "catalog" / row["file_name"])
    kept = [{"file_name": row["file_name"], "title": row["title"], "group": row["title"]} for row in rows]
    (home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in kept))
    queries = [(f"q{number}", phrase.format(need), need) for number, (need, phrase) in
               enumerate((need, phrase) for need in NEEDS for phrase in PHRASES)]  # fmt: skip
    (home / "queries.jsonl").write_text(
        "".join(f"{json.dumps({'id': key, 'query': text})}\n" for key, text, _ in queries)
    )
    products = {row["title"]: row["category"] for row in rows}
    with (home / "scores.csv").open("w", newline="") as file, (home / "qrels.txt").open("w") as qrels:
        table = csv.writer(file)
        table.writerow(["query", "item", "score"])
        for key, text, need in queries:
            for title, category in products.items():
                if grade := suits(need, category):
                    qrels.write(f"{key} 0 {title} {grade}\n")
            table.writerows([text, row["file_name"], 2.0 * suits(need, row["category"]) + taste(need, row["title"])]
                            for row in rows)  # fmt: skip


def suits(need: str, category: str) -> int:
    """How well a category suits a need: 2, 1 or 0."""
    well, somewhat = NEEDS[need]
    name = category.replace(" ", "-")
    return 2 * (name in well.split()) or int(name in somewhat.split())


def taste(need: str, title: str) -> float:
    """A small preference among products of one grade, the same for all shoppers with one need; in [0, 0.5)."""
    return hashlib.sha256(f"{need}\0{title}".encode()).digest()[0] / 512


def show(per: str, document: dict) -> None:
    print(f"by {per}: {document['queries']} unseen queries, {document['products']} candidates")
    for name in METRICS:
        cells = []
        for model in ("backbone", "student"):
            low, high = document["ci95"][model].get(name, (nan, nan))  # of too few queries there is none
            cells.append(f"{model} {document['models'][model][name]:.3f} ({low:.2f} to {high:.2f})")
        print(f"  {name:18} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
