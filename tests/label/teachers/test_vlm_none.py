"""A tiny model in this process is offered "none of these" by a letter of its own."""

import pytest
from PIL import Image

import vlm_models
from vdistill.label.teacher import none_version
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Question, ShownImage


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = vlm_models.qwen2_vl(tmp_path_factory.mktemp("qwen2_vl"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield open_teacher(str(folder), TeacherOptions(), [], lambda _: None)


@pytest.fixture
def images(tmp_path):
    for number, colour in enumerate(("red", "blue", "green")):
        Image.new("RGB", (60, 60), colour).save(tmp_path / f"{number}.png")
    return tuple(ShownImage(f"{n}.png", tmp_path / f"{n}.png", str(n)) for n in range(3))


def test_the_probability_of_none_stands_beside_those_of_the_images(teacher, images):
    assert none_version(teacher)
    plain, offered = teacher.ask([Question("a gift", images), Question("a gift", images, none=True)])
    assert plain.none is None
    assert 0 < offered.none < 1
    assert sum(plain.probabilities) == pytest.approx(1)
    assert sum(offered.probabilities) == pytest.approx(1)
    assert len(offered.probabilities) == 3


def test_a_ranking_says_how_many_images_stand_before_none(teacher, images):
    (answer,) = teacher.ask([Question("a gift", images, "rank", none=True)])
    assert sorted(answer.order) == [0, 1, 2]
    assert 0 <= answer.accepted <= 3
