"""How far the fit of hits can be trusted on the made gift shop: calibration, false hits and lost queries.

The held-out queries are dealt into parts anew for each of several seeds; what is printed is the mean and the spread
over these, and of the first one the bootstrap interval over queries. The unseen wishes are measured by the fit of the
index itself. The design of the fit was chosen on these held-out queries, so calibration and lost queries are a little
flattered; the unseen wishes were not looked at for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import made_shop
import numpy as np

from vdistill.bench.fit import FitReport, measure
from vdistill.database import Database
from vdistill.inputs.queries import texts
from vdistill.inputs.sides import Sides
from vdistill.query.search import Searcher


def main() -> None:
    """Print the table of a shop whose demo has run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", type=Path, default=made_shop.SHOP)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    made_shop.require(options.shop, ".vdistill/index", "unanswered.txt")
    with Searcher.open(options.shop) as searcher:
        if searcher.fit is None:
            print("not run: the index knows no fit", file=sys.stderr)
            return
        reports = of_seeds(searcher, options.shop, 1 if options.quick else options.seeds)
    print(f"{len(reports)} seeds of the parts, {searcher.model}", file=sys.stderr)
    show(reports)


def of_seeds(searcher: Searcher, shop: Path, seeds: int) -> list[FitReport]:
    """The report of each seed."""
    unseen = list(texts(str(shop / "unanswered.txt")))
    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        known = searcher.hashes(searcher.ids), Sides.read(database)
        found = [measure(searcher, database, known, unseen=unseen, seed=seed) for seed in range(seeds)]
    return [one for one in found if one is not None]


def show(reports: list[FitReport]) -> None:
    """One line a figure: mean ± standard deviation over the seeds, and the first one's interval over queries."""
    first = reports[0]
    print(f"{first.hits:,} hits of {first.queries:,} held-out queries, judged by {first.judge}")
    line("ECE", [one.ece for one in reports], first.ece_ci95)
    line("ECE of answered queries", [one.ece_answered for one in reports], None)
    for name in ("at", "at_lost"):
        at = [getattr(one, name) for one in reports]
        line(f"{name}: min_fit", [one.min_fit for one in at], None)
        for kind in ("lost", "false_hits", "unseen"):
            shares = [getattr(one, kind) for one in at]
            if shares[0] is not None:
                line(f"{name}: {kind} of {shares[0].queries}", [one.share for one in shares], shares[0].ci95)


def line(name: str, values: list[float], interval: object) -> None:
    """A figure."""
    between = "" if interval is None else f"  [{interval[0]:.3f}, {interval[1]:.3f}]"  # type: ignore[index]
    print(f"{name:32} {np.mean(values):.3f} ± {np.std(values):.3f}{between}")


if __name__ == "__main__":
    main()
