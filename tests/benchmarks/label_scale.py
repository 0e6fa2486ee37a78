"""How long the fit takes on 10,000 queries, and a resumed run on 100,000 stored judgments until it plans its next call.

python tests/benchmarks/label_scale.py [--quick]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from side_by_side import header

from vdistill import preferences
from vdistill.database import Database
from vdistill.label.asking import Asker
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.schedules import Narrowing, Plan
from vdistill.label.teacher import Price
from vdistill.records import Answer, Judgment, Question, ShownImage

QUERIES, ITEMS, CALLS, IMAGES = 10_000, 100, 40, 8


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def judgments(queries: int, calls: int) -> list[Judgment]:
    rng = np.random.default_rng(0)
    names = [f"{number:03}.jpg" for number in range(ITEMS)]
    hashes = [f"{number:064}" for number in range(ITEMS)]
    found = []
    for query in range(queries):
        utility = rng.normal(0, 2, ITEMS)
        shown = np.argsort(rng.random((calls, ITEMS)), axis=1)[:, :IMAGES]
        logits = utility[shown] + rng.normal(0, 0.7, shown.shape)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        for rows, p in zip(shown.tolist(), chances.tolist(), strict=True):
            items, sums = tuple(names[i] for i in rows), tuple(hashes[i] for i in rows)
            found.append(Judgment(f"q{query}", items, sums, "best", Answer(tuple(p)), "t", "heldout"))
    return found


class Silent:
    """A teacher that must not be asked."""

    name, prompt, batch_size, concurrency, looks = "t", "1", 1, 1, False

    def ask(self, questions: object) -> list[Answer]:
        raise SystemExit

    def price(self, question: Question) -> Price:
        return Price()

    def close(self) -> None: ...


def fit_speed(count: int) -> None:
    said = judgments(count, CALLS)
    before = peak_gb()
    started = time.monotonic()
    preferences.fit(said)
    took = time.monotonic() - started
    print(
        f"fit of {count:,} queries × {ITEMS} items × {CALLS} calls of {IMAGES}: {took:.1f} s, "
        f"peak {peak_gb():.2f} GB ({before:.2f} GB of it the judgments)"
    )


def resume_speed(count: int) -> None:
    """So many queries with all of their 40 calls answered but the last: everything is read, fitted, and planned on."""
    with tempfile.TemporaryDirectory() as name, Database.open(Path(name) / "vdistill.db") as database:
        queries = [f"q{number}" for number in range(count)]
        shown = {f"{i:03}.jpg": ShownImage(f"{i:03}.jpg", Path("x"), f"{i:064}") for i in range(ITEMS)}
        asker = Asker(Silent(), database, Purse(), 1, lambda _: None)
        rng = np.random.default_rng(0)
        plan = Plan(CALLS, IMAGES, 64, 0)
        from vdistill.label.schedules import training

        groups = list(training("adaptive", queries, list(shown), plan, {}).next_round([]))
        rows = []
        for group in groups[:-1]:
            question = Question(group.query, tuple(shown[item] for item in group.items))
            p = rng.dirichlet(np.ones(IMAGES))
            told = Judgment(
                group.query,
                group.items,
                tuple(image.sha256 for image in question.images),
                "best",
                Answer(tuple(p.tolist())),
                "t",
                "train",
            )
            rows.append((asker.key(question), "1", told))
        for start in range(0, len(rows), 1000):
            database.add_judgments(rows[start : start + 1000])
        print(f"{database.judgment_count():,} judgments stored")
        started = time.monotonic()
        groups = training("adaptive", queries, list(shown), plan, {}).next_round([])
        asked = [Asked(Question(g.query, tuple(shown[i] for i in g.items)), "train", g.pool) for g in groups]
        try:
            asker.ask(asked)
        except SystemExit:
            print(f"resumed: the next call is asked after {time.monotonic() - started:.2f} s")
        said = database.judgments()
        started = time.monotonic()
        narrowing = Narrowing(queries[: count // 10], list(shown), plan)
        list(narrowing.next_round([]))
        narrowing.next_round([one for one in said if one.query in set(queries[: count // 10])])
        print(f"narrowing {count // 10} queries: {time.monotonic() - started:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    header("scipy")
    resume_speed(20 if quick else 2_500)
    fit_speed(20 if quick else QUERIES)
