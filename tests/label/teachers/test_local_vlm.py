"""A tiny Qwen2-VL of the true classes answers through the public door."""

import json
import shutil

import pytest
import torch
from PIL import Image

import vlm_models
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.local_vlm import LocalVLM
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Answer, Failure, Question, ShownImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return vlm_models.qwen2_vl(tmp_path_factory.mktemp("qwen2_vl"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    home = tmp_path_factory.mktemp("images")
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
    return open_teacher(str(folder), TeacherOptions(), [], lambda _: None)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_it_is_a_teacher_with_a_name_that_depends_on_its_files(teacher, folder):
    assert isinstance(teacher, Teacher)
    assert teacher.name.startswith(f"{folder.name}@")


def test_a_model_that_was_trained_further_has_another_name(teacher, folder, tmp_path):
    further = tmp_path / folder.name
    shutil.copytree(folder, further)
    assert LocalVLM(str(further), TeacherOptions(), say=print).name == teacher.name
    weights = bytearray((further / "model.safetensors").read_bytes())
    weights[-2] ^= 1
    (further / "model.safetensors").write_bytes(weights)
    assert LocalVLM(str(further), TeacherOptions(), say=print).name != teacher.name


def test_one_forward_pass_gives_probabilities_of_the_letters(teacher, images):
    (answer,) = teacher.ask([Question("something red", tuple(images))])
    assert len(answer.probabilities) == 4
    assert sum(answer.probabilities) == pytest.approx(1)
    assert min(answer.probabilities) > 0
    assert answer.tokens > 50


def test_a_batch_gets_the_answers_of_one_by_one(folder, images):
    teacher = LocalVLM(str(folder), TeacherOptions(), say=lambda _: None, device="cpu", precision="fp32")
    questions = [
        Question("something red", tuple(images[:2])),
        Question("a much longer query than the one before it, with many words", tuple(images)),
        Question("blue", tuple(images[1:4])),
    ]
    together = teacher.ask(questions)
    for question, answer in zip(questions, together, strict=True):
        (alone,) = teacher.ask([question])
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_what_is_shown_and_asked_matters(teacher, images):
    red_first, blue_first, other = teacher.ask([
        Question("something red", (images[0], images[1])),
        Question("something red", (images[1], images[0])),
        Question("my grandmother's garden", (images[0], images[1])),
    ])  # fmt: skip
    assert red_first.probabilities != blue_first.probabilities
    assert red_first.probabilities != other.probabilities


def test_a_ranking_is_an_order_of_all_images(teacher, images):
    (rank,) = teacher.ask([Question("something red", tuple(images), "rank")])
    assert sorted(rank.order) == [0, 1, 2, 3]
    assert rank.probabilities is None


def test_a_price_is_known_before_the_weights_are_loaded(folder, images):
    said = []
    teacher = open_teacher(str(folder), TeacherOptions(), [], said.append)
    price = teacher.price(Question("red", tuple(images)))
    assert price.seconds > 0
    assert said == []
    (answer,) = teacher.ask([Question("red", tuple(images))])
    assert price.tokens == answer.tokens
    assert said[0].startswith("loading")


def test_what_does_not_fit_into_memory_is_asked_in_halves(folder, images, monkeypatch):
    teacher = LocalVLM(str(folder), TeacherOptions(), say=lambda _: None, device="cpu", precision="fp32")
    questions = [Question(text, tuple(images[:2])) for text in ("red", "blue", "green")]
    whole = teacher.ask(questions)
    forward, most = teacher._model.forward, 1

    def small(**inputs):
        if len(inputs["input_ids"]) > most:
            raise torch.OutOfMemoryError
        return forward(**inputs)

    monkeypatch.setattr(teacher._model, "forward", small)
    for one, other in zip(whole, teacher.ask(questions), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    most = 0
    with pytest.raises(TeacherError, match="does not fit into the memory"):
        teacher.ask(questions)


def test_a_broken_image_fails_its_question_alone(teacher, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    broken = ShownImage("broken.png", tmp_path / "broken.png", "x")
    bad, good = teacher.ask([Question("red", (images[0], broken)), Question("red", tuple(images[:2]))])
    assert isinstance(bad, Failure)
    assert "broken.png" in bad.reason
    assert isinstance(good, Answer)


def test_a_model_that_is_not_there_says_what_to_do():
    with pytest.raises(VdistillError, match="nobody/no-model") as caught:
        open_teacher("nobody/no-model", TeacherOptions(), [], lambda _: None)
    assert "hf download" in caught.value.hint


def test_a_model_of_another_kind_is_refused_before_anything_is_asked(tmp_path):
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(VdistillError, match="does not answer questions about images"):
        LocalVLM(str(tmp_path), TeacherOptions(), say=print)


def test_a_folder_without_weights_is_refused_before_anything_is_asked(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(VdistillError, match="no weights"):
        LocalVLM(str(tmp_path), TeacherOptions(), say=print)


def test_a_folder_without_a_processor_says_so_before_anything_is_asked(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(VdistillError, match=r"cannot (load|get) the teacher") as caught:
        LocalVLM(str(tmp_path), TeacherOptions(), say=print)
    assert "copy the whole folder" in caught.value.hint


def test_damaged_weights_say_so(folder, images, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    with (damaged / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(VdistillError, match="cannot load the teacher") as caught:
        LocalVLM(str(damaged), TeacherOptions(), say=print).ask([Question("red", tuple(images))])
    assert "damaged" in caught.value.hint


def test_a_model_without_a_chat_template_is_refused_before_anything_is_asked(folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(folder, base)
    for name in ("chat_template.json", "chat_template.jinja"):
        (base / name).unlink(missing_ok=True)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(VdistillError, match="no chat template") as caught:
        LocalVLM(str(base), TeacherOptions(), say=print)
    assert "Instruct" in caught.value.hint


def test_a_template_without_a_system_role_gets_the_system_message_with_the_users(folder, images, tmp_path):
    gentle = tmp_path / "gentle"
    shutil.copytree(folder, gentle)
    (gentle / "chat_template.jinja").unlink(missing_ok=True)
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    (gentle / "chat_template.json").write_text(json.dumps({"chat_template": refuses + vlm_models.TEMPLATE}))
    (answer,) = LocalVLM(str(gentle), TeacherOptions(), say=print).ask([Question("red", tuple(images))])
    assert len(answer.probabilities) == 4


def test_more_images_than_letters_stop_at_once(teacher, images):
    with pytest.raises(TeacherError, match="at most 9"):
        teacher.price(Question("red", tuple(images * 3)))


def test_an_unknown_name_gets_the_close_ones():
    for mistyped, meant in (("smolvml", "smolvlm"), ("tabel:scores.csv", "table:FILE")):
        with pytest.raises(VdistillError, match="unknown teacher") as caught:
            open_teacher(mistyped, TeacherOptions(), [], lambda _: None)
        assert meant in caught.value.hint


def test_a_mistyped_folder_gets_the_close_one(folder):
    with pytest.raises(VdistillError, match="no folder") as caught:
        open_teacher(f"{folder}x", TeacherOptions(), [], lambda _: None)
    assert str(folder) in caught.value.hint


def test_a_path_to_a_missing_folder_is_not_taken_for_a_model_id():
    with pytest.raises(VdistillError, match="no folder models/vlm/Tiny-VL"):
        open_teacher("models/vlm/Tiny-VL", TeacherOptions(), [], lambda _: None)


def test_a_revision_is_part_of_the_name_and_of_the_hint():
    said = []
    planned = open_teacher("owner/Nowhere-2B@v1", TeacherOptions(plan=True), [], said.append)
    assert planned.name == "owner/Nowhere-2B@v1"
    with pytest.raises(VdistillError) as caught:
        open_teacher("owner/Nowhere-2B@v1", TeacherOptions(), [], said.append)
    assert "hf download owner/Nowhere-2B --revision v1 " in caught.value.hint


def test_a_mistyped_model_id_gets_the_close_one():
    with pytest.raises(VdistillError, match="Qwen2-VL-2B-Instuct") as caught:
        open_teacher("Qwen/Qwen2-VL-2B-Instuct", TeacherOptions(), [], lambda _: None)
    assert "did you mean Qwen/Qwen2-VL-2B-Instruct?" in caught.value.hint
