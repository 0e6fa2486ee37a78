"""Teachers from other packages: the example of docs/teachers.md, installed as a package would be."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from chat_server import ChatServer, completion
from command_line import QUERIES, errors, vdistill
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure, Question, ShownImage

PAGE = (Path(__file__).parents[3] / "docs" / "teachers.md").read_text(encoding="utf-8")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a module and its entry points where Python finds them, as pip does."""

    def done(name, code, entry):
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        facts = tmp_path / f"{name}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[vdistill.teachers]\n{entry}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return done


def block(language, below):
    """The first block of code of a language below a heading of the page."""
    return re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(below) :], flags=re.DOTALL)[1]


def test_the_documented_prices_and_words_work_as_printed(tmp_path, catalog):
    (tmp_path / "vdistill.toml").write_text(block("toml", "**Prices.**"), encoding="utf-8")
    (tmp_path / "prompt.toml").write_text(block("toml", "## Other words"), encoding="utf-8")
    done = vdistill("label", "catalog", "--teacher", "openai:gpt-4o-mini", "--prompt", "prompt.toml", "--dry-run",
                    "--json", cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["cost_usd"] > 0


def test_the_documented_plug_in_works_as_printed(install, tmp_path):
    group, entry = block("toml", "## A teacher of your own").strip().splitlines()
    assert group == '[project.entry-points."vdistill.teachers"]'
    install("colour_teacher", block("python", "## A teacher of your own"), entry.replace('"', ""))
    teacher = open_teacher("colour:25", TeacherOptions(), [], print)
    assert teacher.name == "colour:25"
    shown = []
    for colour in ("blue", "red"):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{colour}.png")
        shown.append(ShownImage(colour, tmp_path / f"{colour}.png", colour))
    best, rank, none = teacher.ask([
        Question("a red gift", tuple(shown)),
        Question("a red gift", tuple(shown), "rank"),
        Question("a gift", tuple(shown)),
    ])  # fmt: skip
    assert best.probabilities[1] > 0.9
    assert sum(best.probabilities) == pytest.approx(1)
    assert rank.order == (1, 0)
    assert isinstance(none, Failure)


def test_a_plug_in_that_is_not_a_teacher_is_refused(install):
    install("odd_teacher", "def opened(option):\n    return object()\n", "odd = odd_teacher:opened")
    with pytest.raises(VdistillError, match="'odd' did not return a Teacher"):
        open_teacher("odd", TeacherOptions(), [], print)


def test_a_plug_in_that_fails_is_named(install):
    install("late_teacher", "def opened(option):\n    return 1 / 0\n", "late = late_teacher:opened")
    with pytest.raises(VdistillError, match=r"'late' \(late_teacher:opened\) failed: ZeroDivisionError"):
        open_teacher("late", TeacherOptions(), [], print)


ODD = """
from vdistill.label.teacher import Price
from vdistill.records import Answer, Failure

class Teacher:
    name, prompt, batch_size, concurrency, looks = "odd", "1", 4, 1, False
    def __init__(self, option): pass
    def price(self, question): return Price()
    def close(self): pass
    def ask(self, questions):
        good = [Answer((0.7, 0.1, 0.1, 0.1)) for _ in questions]
        return SAID
"""


@pytest.mark.parametrize(("said", "reason"), [
    ("[Answer((0.5, 0.5)), *good[1:]]", "2 probabilities for 4 images"),
    ("[Answer((0.5, 0.5, 0.5, 0.5)), *good[1:]]", "sum to 1"),
    ("[Answer((float('nan'), 0.5, 0.5, 0.0)), *good[1:]]", "finite"),
    ("[Answer((1.5, -0.5, 0.0, 0.0)), *good[1:]]", "not negative"),
    ("[Answer(order=(0, 1, 2, 3)), *good[1:]]", "probabilities were asked for"),
    ("[Answer((0.7, 0.1, 0.1, 0.1), (0, 1, 2, 3)), *good[1:]]", "exactly one"),
    ("[Answer(), *good[1:]]", "exactly one"),
    ("[Answer((0.7, 0.1, 0.1, 0.1), tokens=None), *good[1:]]", "tokens must be a number"),
    ("[Answer((0.7, 0.1, 0.1, 0.1), cost_usd=float('inf')), *good[1:]]", "cost_usd must be a number"),
    ("[Answer(('a', 'b', 'c', 'd')), *good[1:]]", "not a valid answer"),
    ("['B', *good[1:]]", "gave str"),
    ("[None, *good[1:]]", "gave NoneType"),
    ("good[1:]", "answers to"),
    ("None", "NoneType to"),
])  # fmt: skip
def test_an_invalid_answer_is_a_failure_with_its_reason_and_the_others_are_kept(
    install, tmp_path, catalog, said, reason
):
    install("odd_teacher", ODD.replace("SAID", said), "odd = odd_teacher:Teacher")
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES[:5]))
    done = vdistill("label", "catalog", "--teacher", "odd", "--queries", "queries.txt", "--budget", 40,
                    "--images-per-call", 4, "--holdout", 0.4, "--json", cwd=tmp_path)  # fmt: skip
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        kept = database.judgment_count()
        failures = [row[0] for row in database._all("SELECT reason FROM failures", ())]
    assert failures
    assert all(reason in failure for failure in failures)
    if said.startswith("["):
        assert done.code == 0, done.err
        assert (done.json["judgments"], done.json["failed"]) == (kept, len(failures))
        assert kept == 3 * len(failures) or kept > len(failures)
    else:
        assert kept == 0, "which answer is whose cannot be told"


def test_numbers_of_numpy_are_answers_too(install, tmp_path, catalog):
    said = "[Answer(np.float32([0.7, 0.1, 0.1, 0.1]), tokens=np.int64(5)) for _ in questions]"
    install("odd_teacher", "import numpy as np\n" + ODD.replace("SAID", said), "odd = odd_teacher:Teacher")
    done = vdistill("label", "catalog", "--teacher", "odd", "--budget", 40, "--images-per-call", 4, "--json",
                    cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["failed"] == 0
    assert done.json["tokens"] == 5 * done.json["judgments"] > 0


def test_a_plug_in_whose_code_fails_stops_the_run_in_a_line_that_names_it(install, tmp_path, catalog):
    install("odd_teacher", ODD.replace("SAID", "1 / 0"), "odd = odd_teacher:Teacher")
    done = vdistill("label", "catalog", "--teacher", "odd", "--budget", 40, "--images-per-call", 4, cwd=tmp_path)
    error, hint = errors(done)
    assert "the teacher odd failed: ZeroDivisionError" in error
    assert "kept" in hint


def test_labelling_over_http_asks_nothing_twice_and_keeps_no_key(catalog, tmp_path):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES[:5]))
    with ChatServer(completion("B", {"A": -1.5, "B": -0.4, "C": -3.0})) as server:
        command = ["label", catalog, "--teacher", "vlm", "--endpoint", server.url, "--queries", "queries.txt",
                   "--images-per-call", 4, "--budget", 30, "--holdout", 0.4, "--json"]  # fmt: skip
        first = vdistill(*command, cwd=tmp_path, env={"VDISTILL_API_KEY": "sk-very-secret"})
        assert first.code == 0, first.err
        assert first.json["calls"] == server.calls > 10
        assert (first.json["failed"], server.repeated) == (0, 0)
        again = vdistill(*command, cwd=tmp_path)
        assert again.json["reused"] == first.json["calls"]
        assert (server.calls, server.repeated) == (first.json["calls"] + again.json["calls"], 0)
    kept = [path.read_bytes() for path in (tmp_path / ".vdistill").rglob("*") if path.is_file()]
    assert not any(b"sk-very-secret" in content for content in kept)
