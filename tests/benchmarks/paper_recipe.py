"""The recipe of arXiv 2510.12014 beside ours, on the gift shop, at equal teacher calls.

    python tests/benchmarks/paper_recipe.py --shop examples/gift_shop

Theirs: five pictures ranked, in three cycles from bands of the backbone's and then the student's scores; all ten pairs
of a ranking alike; Bradley–Terry at temperature 1 on bare cosines; nothing retained. Ours: the defaults. Both train
the same LoRA for the same epochs, ours at the shop's learning rate, theirs at several; all calls go to training
queries. Held-out queries × held-out items by the shop's qrels, with 95 % bootstrap intervals over queries.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import made_shop
from calls_to_quality import LR, student_of
from rich.console import Console
from rich.table import Table

from vdistill.distill.settings import DistillSettings
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.metrics import interval, mean

METRICS = ("ndcg@10", "recall@10", "mpr", "literal_recall@1", "literal_recall@10")
OURS = DistillSettings(lr=LR)
THEIRS = DistillSettings(
    lr=LR, loss="bradley-terry", temperature=1.0, head=1.0, reader=0.0, retention=0.0, validation=0.0, augment=False
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shop", type=Path, default=made_shop.SHOP)
    parser.add_argument("--calls", type=int, nargs="*", default=[1000, 3000, 10000])
    parser.add_argument("--paper-lr", type=float, nargs="*", default=[LR, LR / 10, LR / 100])
    parser.add_argument("--paper-alone", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        made_shop.require(options.shop, "shoppers.parquet", "qrels.txt")
        options.calls, options.paper_lr = [60], [LR]
    table = Table(title="held-out queries × held-out items, 95 % intervals over queries", title_justify="left")
    for column in ("calls", "recipe", *METRICS, "seconds"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for calls in options.calls:
        arms = [(f"paper, lr {lr:g}", "banded", "hard", replace(THEIRS, lr=lr)) for lr in options.paper_lr]
        if not options.paper_alone:
            arms.append(("ours", "adaptive", "soft", OURS))
        for name, schedule, answers, settings in arms:
            started = time.monotonic()
            settings = replace(settings, epochs=1) if options.quick else settings
            found = student_of(options.shop, schedule, calls, answers, settings, evaluate)
            cells = []
            for metric in METRICS:
                low, high = interval(found[metric]) or (float("nan"), float("nan"))
                cells.append(f"{mean(found[metric]):.3f} [{low:.3f}, {high:.3f}]")
            table.add_row(f"{calls:,}", name, *cells, f"{time.monotonic() - started:.0f}")
            print(calls, name, *cells, flush=True)
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
