"""A tiny Qwen2-VL of the true classes answers through the public door."""

import pytest
from PIL import Image

import vlm_models
from vdistill.errors import VdistillError
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import open_teacher
from vdistill.records import Answer, Failure, Question, ShownImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return vlm_models.qwen2_vl(tmp_path_factory.mktemp("qwen2_vl"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    home = tmp_path_factory.mktemp("pictures")
    shown = []
    for number, (colour, size) in enumerate(
        [("red", (60, 60)), ("blue", (90, 40)), ("green", (10, 200)), ("white", (700, 650))]
    ):
        path = home / f"{number}.png"
        Image.new("RGB", size, colour).save(path)
        shown.append(ShownImage(path.name, path, str(number)))
    return shown


@pytest.fixture(scope="module")
def teacher(folder):
    return open_teacher(str(folder), endpoint=None, items=[], concurrency=1, say=lambda _: None)


def test_it_is_a_teacher_with_a_name_that_hangs_on_its_files(teacher, folder):
    assert isinstance(teacher, Teacher)
    assert teacher.name.startswith(f"{folder.name}@")


def test_one_forward_pass_gives_probabilities_of_the_letters(teacher, pictures):
    (answer,) = teacher.ask([Question("something red", tuple(pictures))])
    assert len(answer.probabilities) == 4
    assert sum(answer.probabilities) == pytest.approx(1)
    assert min(answer.probabilities) > 0
    assert answer.tokens > 50


def test_a_batch_answers_as_one_by_one(teacher, pictures):
    questions = [
        Question("something red", tuple(pictures[:2])),
        Question("a much longer wish than the one before it, with many words", tuple(pictures)),
        Question("blue", tuple(pictures[1:4])),
    ]
    together = teacher.ask(questions)
    for question, answer in zip(questions, together, strict=True):
        (alone,) = teacher.ask([question])
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=0.02)


def test_what_is_shown_and_asked_matters(teacher, pictures):
    red_first, blue_first, other = teacher.ask([
        Question("something red", (pictures[0], pictures[1])),
        Question("something red", (pictures[1], pictures[0])),
        Question("my grandmother's garden", (pictures[0], pictures[1])),
    ])  # fmt: skip
    assert red_first.probabilities != blue_first.probabilities
    assert red_first.probabilities != other.probabilities


def test_a_ranking_is_the_order_of_the_probabilities(teacher, pictures):
    (best,) = teacher.ask([Question("something red", tuple(pictures))])
    (rank,) = teacher.ask([Question("something red", tuple(pictures), "rank")])
    assert sorted(rank.order) == [0, 1, 2, 3]
    assert best.probabilities is not None


def test_a_broken_picture_fails_its_question_alone(teacher, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    broken = ShownImage("broken.png", tmp_path / "broken.png", "x")
    bad, good = teacher.ask([Question("red", (pictures[0], broken)), Question("red", tuple(pictures[:2]))])
    assert isinstance(bad, Failure)
    assert "broken.png" in bad.reason
    assert isinstance(good, Answer)


def test_a_model_that_is_not_there_says_what_to_do(monkeypatch):
    with pytest.raises(VdistillError, match="nobody/no-model") as caught:
        open_teacher("nobody/no-model", endpoint=None, items=[], concurrency=1, say=lambda _: None)
    assert "hf download" in caught.value.hint


def test_an_unknown_name_gets_the_close_ones():
    with pytest.raises(VdistillError, match="unknown teacher") as caught:
        open_teacher("smolvml", endpoint=None, items=[], concurrency=1, say=lambda _: None)
    assert "smolvlm" in caught.value.hint
