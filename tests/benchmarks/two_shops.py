"""What the example's settings reach in both made-up shops: `python tests/benchmarks/two_shops.py [--seeds 3]`.

The gift shop is the one that defaults were chosen on. No setting was chosen by the figures of the hobby shop, which has
other products, other persons and other words, so its figures are what to expect elsewhere. A seed changes which images
the teacher is shown, and the training.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import made_shop
import numpy as np
from commands import EXAMPLE, run, vdistill

PARTS = ("student, image alone", "student, text alone")
METRICS = ("ndcg@10", "recall@10", "mpr", "literal_recall@10", "literal_recall@1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shops", nargs="+", default=["gifts", "hobbies"])
    parser.add_argument("--quick", action="store_true", help="few calls, one epoch, to see that it runs")
    parser.add_argument("distill", nargs="*", help="further options of distill")
    options = parser.parse_args()
    if options.quick:
        made_shop.require()
        options.seeds, options.shops = 1, ["gifts"]
        options.distill = ["--epochs", "1", "--lr", "0.003", "--fields", "image", "--keep-anyway"]
    further = ["--budget", "600"] if options.quick else []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if options.quick:
            shutil.copytree(made_shop.SHOP / "backbone", home / "backbone")
        else:
            run([sys.executable, "make_backbone.py", "--out", home / "backbone"], EXAMPLE)
        for shop in options.shops:
            place = home / shop
            if options.quick:
                shutil.copytree(made_shop.SHOP, place, ignore=shutil.ignore_patterns(".vdistill", "backbone"))
            else:
                run([sys.executable, "make_shop.py", "--shop", shop, "--out", place], EXAMPLE)
            (place / "backbone").symlink_to(home / "backbone")
            settings = (EXAMPLE / "vdistill.toml").read_text()
            if not (place / "unanswered.txt").exists():
                settings = re.sub(r"(?m)^unanswered = .*\n", "", settings)
            (place / "vdistill.toml").write_text(settings)
            show(shop, [student(place, seed, options.distill, further) for seed in range(options.seeds)])


def student(place: Path, seed: int, further: list[str], labelling: list[str]) -> dict:
    """What `bench --json` says after labelling and training with this seed."""
    shutil.rmtree(place / ".vdistill", ignore_errors=True)
    vdistill(place, "label", "--seed", seed, *labelling)
    started = time.monotonic()
    done = json.loads(vdistill(place, "distill", "--json", "--seed", seed, *further))
    done["fields"] = {name: done["fields"][name] for name in ("fields", "how", "strength")}
    seconds = time.monotonic() - started
    found = json.loads(vdistill(place, "bench", "--json"))
    (place / f"bench-{seed}.json").write_text(json.dumps(found))
    return {**found, "seconds": seconds, "distill": done}


def show(shop: str, runs: list[dict]) -> None:
    print(f"\n{shop}: {runs[0]['queries']} unseen queries on {runs[0]['items']} unseen products, {len(runs)} seeds")
    for row in ("student", *PARTS, "bm25"):
        if not all(row in one["models"] for one in runs):
            continue
        print(f"  {row}")
        for name in METRICS:
            if name in runs[0]["models"][row]:
                backbone = runs[0]["models"]["backbone"][name]
                values = np.array([one["models"][row][name] for one in runs])
                each = " ".join(f"{value:.3f}" for value in values)
                print(f"    {name:18} backbone {backbone:.3f}  {each}  mean {values.mean():.3f} ± {values.std():.3f}")
    for name in ("lr", "strength", "fields"):
        print(f"  {name}: " + " | ".join(str(one["distill"][name]) for one in runs))
    print("  seconds of distill: " + " ".join(f"{one['seconds']:.0f}" for one in runs), flush=True)


if __name__ == "__main__":
    main()
