"""What is accepted is what the judge says that `bench` measures by, also where that is a jury."""

from __future__ import annotations

import pytest

from vdistill.database import Database
from vdistill.evaluation.accepted import held_out
from vdistill.evaluation.admissible import JURIES
from vdistill.inputs.sides import Sides
from vdistill.records import Answer, Judgment, Query

QUERY = "for a hike"


def said(teacher, items, none):
    answer = Answer(probabilities=(0.7, 0.3), none=none)
    return Judgment(QUERY, items, ("", ""), "best", answer, teacher, "heldout")


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path / "vdistill.db") as found:
        found.remember("holdout", 0.5)
        found.add_queries([Query("1", QUERY, "heldout")])
        judgments = [
            said("A", ("boots", "book"), 0.1),
            said("A", ("map", "book"), 0.1),
            said("B", ("tent", "mug"), 0.1),
            said("C", ("cup", "mug"), 0.9),
        ]
        found.add_judgments([(str(number), "", one) for number, one in enumerate(judgments)])
        yield found


def accepted(database, judge=None):
    found = held_out(database, {}, Sides.read(database), judge)
    return found.judge.teacher, set(found.known[QUERY])


def test_a_teacher_is_the_judge_by_itself(database):
    assert accepted(database) == ("A", {"boots", "map", "book"})
    assert accepted(database, "C") == ("C", {"cup", "mug"})


def test_a_jury_is_one_judge(database):
    database.remember(JURIES, [["A", "B"]])
    both = ("A + B", {"boots", "map", "book", "tent", "mug"})
    assert accepted(database) == accepted(database, "A + B") == both
    assert accepted(database, "A") == ("A", {"boots", "map", "book"})
