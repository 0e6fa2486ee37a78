"""People as teachers: how well their noise is measured, what weighing by it brings, and how fast one can judge.

Run: python tests/benchmarks/people.py [--seeds N] [--quick]

Simulated people choose among four of 20 images with P ∝ exp(utility / noise). Scores are correlations of the fitted
utilities with the true ones, which no fit sees. The second part presses keys in Chromium, where there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.table import Table
from side_by_side import CONSOLE, header, lacks, spread

from vdistill.preferences import fit
from vdistill.records import Answer, Judgment

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
QUERIES, ITEMS, SHOWN = 10, 20, 4
JURIES = {
    "three people": ({"careful": 0.5, "usual": 1.0, "hasty": 2.0}, ()),
    "one of them guesses": ({"usual": 1.0, "guesses": 50.0}, ()),
    "all alike": ({"one": 1.0, "two": 1.0, "three": 1.0}, ()),
    "a model and two people": ({"model": 1.0, "usual": 1.0, "hasty": 4.0}, ("model",)),
}


def judged(seed, noises, each, soft):
    """True utilities (queries, items), and the answers of judges of these noises."""
    rng = np.random.default_rng(seed)
    utilities, found = rng.normal(0, np.sqrt(6), (QUERIES, ITEMS)), []
    for name, noise in noises.items():
        for _ in range(each):
            query, shown = int(rng.integers(QUERIES)), rng.choice(ITEMS, SHOWN, replace=False)
            logits = utilities[query, shown]
            logits = logits + rng.normal(0, noise, SHOWN) if name in soft else logits / noise
            chances = np.exp(logits - logits.max())
            chances /= chances.sum()
            if name not in soft:
                chances = np.eye(SHOWN)[rng.choice(SHOWN, p=chances)]
            items = tuple(f"{item:02}" for item in shown)
            found.append(Judgment(f"q {query}", items, items, "best", Answer(tuple(chances.tolist())), name, "train"))
    return utilities, found


def likeness(fitted, utilities):
    """The mean correlation of fitted and true utilities over the queries."""
    found = []
    for text in fitted.queries:
        items, mean = fitted.means(text)
        found.append(np.corrcoef(mean, utilities[int(text[2:]), [int(item) for item in items]])[0, 1])
    return float(np.mean(found))


def noises(seeds, sizes):
    """The fitted noises, and the scores with and without weighing."""
    table = Table(title="noise, and correlation with the truth", title_justify="left")
    for column in ("judges", "answers each", "fitted noise", "unweighed", "weighed", "gain"):
        table.add_column(column)
    for title, (people, soft) in JURIES.items():
        for each in sizes:
            known, plain, weighed = {name: [] for name in people}, [], []
            for seed in range(seeds):
                utilities, judgments = judged(seed, people, each, soft)
                fitted = fit(judgments)
                plain.append(likeness(fit(judgments, weigh=False), utilities))
                weighed.append(likeness(fitted, utilities))
                for name in people:
                    known[name].append(fitted.noise[name])
            told = "\n".join(f"{name} ({people[name]:g}): {spread(found)}" for name, found in known.items())
            gain = [a - b for a, b in zip(weighed, plain, strict=True)]
            table.add_row(title, str(each), told, spread(plain, ".3f"), spread(weighed, ".3f"), spread(gain, "+.3f"))
    CONSOLE.print(table)


def by_keyboard(count):
    """How long so many judgments take someone who presses a key as soon as the images are there."""
    from browser import BROWSER, browser

    if BROWSER is None or lacks("uvicorn", "serve"):
        CONSOLE.print("judging by keyboard is left out: no browser, or no extra `serve`")
        return
    from sittings import plain_shop, sitting

    ready = "document.querySelector('#asking')?.hidden === false && !document.querySelector('.loading')"
    key = "document.querySelector('#images').dataset.key"
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder) / "profile") as chromium:
        home = Path(folder) / "shop"
        home.mkdir()
        with sitting(plain_shop(home), "anna", "--queries", "queries.txt", "--budget", count) as page:
            tab = chromium.page()
            tab.go(page.address)
            tab.wait(ready)
            started, waits = time.perf_counter(), []
            while not tab.do("document.querySelector('#asking').hidden"):
                before = tab.do(key)
                time.sleep(0.13)  # the page takes no key before
                pressed = time.perf_counter()
                tab.press(str(1 + len(waits) % 8))
                tab.wait(f"{key} != '{before}' && {ready} || document.querySelector('#asking').hidden")
                waits.append(time.perf_counter() - pressed)
            seconds = time.perf_counter() - started
    CONSOLE.print(
        f"{len(waits)} judgments by keyboard: {seconds:.1f} s; from the key to the next images {spread(waits)} s"
    )


def main():
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    header("scipy")
    noises(1 if given.quick else given.seeds, [40] if given.quick else [50, 200])
    by_keyboard(4 if given.quick else 50)


if __name__ == "__main__":
    main()
