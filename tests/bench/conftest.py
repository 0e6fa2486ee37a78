"""What the tests of `bench` share: judgments by the true vectors, and a shop that has a student."""

import numpy as np
import pytest

from command_line import vdistill, write_scores
from drawings import draw_catalog
from true_vectors import HELD, HOLDOUT, IDS, ITEMS, QUERIES, TEXTS
from vdistill.database import Database
from vdistill.records import Answer, Judgment


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path / "vdistill.db") as database:
        database.remember("holdout", HOLDOUT)
        database.add_queries(QUERIES)
        yield database


@pytest.fixture
def judged(database):
    """Every held-out query ranked by the true vectors, in calls of ten; training queries too."""
    rng, rows = np.random.default_rng(2), []
    for query in QUERIES:
        pool = HELD if query.split == "heldout" else [key for key in IDS if key not in HELD]
        shown = [list(rng.permutation(pool)[:10]) for _ in range(20)]
        for number, items in enumerate(shown):
            items.sort(key=lambda key: -float(TEXTS[query.text] @ ITEMS[key]))
            answer = Answer(order=tuple(range(10)))
            rows.append((f"{query.id}/{number}", "1", Judgment(query.text, tuple(map(str, items)), ("",) * 10, "rank",
                                                               answer, "table:shop", query.split)))  # fmt: skip
    database.add_judgments(rows)
    return database


@pytest.fixture(scope="session")
def home(tmp_path_factory, clip_folder):
    """A shop whose student was trained."""
    home = tmp_path_factory.mktemp("bench")
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    for command in (
        ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone", clip_folder,
         "--images-per-call", 4, "--budget", 200, "--holdout", 0.4],
        ["distill", "--epochs", 2, "--rank", 4, "--lr", 0.01],
    ):  # fmt: skip
        done = vdistill(*command, cwd=home)
        assert done.code == 0, done.err
    return home
