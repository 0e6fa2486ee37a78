"""A model in this process thinks first: within its budget, apart from its answer, and at a price."""

import pytest
from PIL import Image

import vlm_models
from command_line import QUERIES, errors, vdistill
from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teachers.local_vlm import LocalVLM
from vdistill.label.teachers.options import TeacherOptions, read_thinking
from vdistill.records import Question, ShownImage


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model that never ends a thought by itself, and one that does."""
    home = tmp_path_factory.mktemp("thinking")
    return {ends: vlm_models.qwen3_vl(home / f"ends-{ends}", vlm_models.THINKING, ends=ends) for ends in (False, True)}


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    home = tmp_path_factory.mktemp("images")
    shown = []
    for number in range(3):
        path = home / f"{number}.png"
        Image.new("RGB", (60 + 9 * number, 70), (40 * number, 90, 200)).save(path)
        shown.append(ShownImage(path.name, path, str(number)))
    return [Question("red", tuple(shown[:2])), Question("a blue thing for my mother", tuple(shown))]


def opened(folder, think):
    options = TeacherOptions(thinking=read_thinking(think))
    return LocalVLM(str(folder), options, say=lambda _: None, device="cpu", precision="fp32")


def test_a_thought_ends_at_its_budget_or_by_itself_and_is_paid(folders, questions):
    ended = opened(folders[True], "200").ask(questions)
    cut, plain = (opened(folders[False], think).ask(questions) for think in ("40", "off"))
    for long, short, none in zip(cut, ended, plain, strict=True):
        assert (long.thought_tokens, none.thought_tokens) == (40, 0)
        assert 1 <= short.thought_tokens < 200
        assert short.tokens - none.tokens == pytest.approx(short.thought_tokens, abs=5)
        assert 0.1 < long.coverage <= 1
        assert sum(long.probabilities) == pytest.approx(1)
        assert long.probabilities != none.probabilities
    assert ended[0].thought_tokens != ended[1].thought_tokens


def test_the_answer_is_read_behind_the_thought_which_shows_no_image_and_ends_once(folders, questions):
    teacher = opened(folders[False], "12")
    seen, inputs = [], type(teacher._processor).inputs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(teacher._processor),
            "inputs",
            lambda self, prompts, images: seen.append(prompts) or inputs(self, prompts, images),
        )
        first = teacher.ask(questions)
    before, after = seen
    for prompt, closed in zip(before, after, strict=True):
        assert prompt.endswith("<|im_start|>assistant\n<think>\n")
        assert closed.startswith(prompt)
        assert closed.endswith("\n</think>\n\n")
        assert closed.count("</think>") == 1
        assert closed.count("<|image_pad|>") == prompt.count("<|image_pad|>")
    assert teacher.ask(questions) == first, "the draw depends on the question alone"
    assert teacher._thinker.closed("<think>\n", "A <|image_pad|></think> B") == "<think>\nA  B\n</think>\n\n"


def test_answers_behind_thoughts_have_keys_of_their_own_and_a_price(folders, questions):
    teachers = {think: opened(folders[False], think) for think in ("off", "low", "40")}
    assert [one.prompt for one in teachers.values()] == ["1/262144px/no-think", "1/262144px/think low",
                                                          "1/262144px/think 40"]  # fmt: skip
    prices = {think: one.price(questions[0]) for think, one in teachers.items()}
    assert prices["40"].tokens - prices["off"].tokens == pytest.approx(40, abs=5)
    assert prices["low"].seconds > 2 * prices["40"].seconds > 2 * prices["off"].seconds


def test_a_model_whose_template_knows_no_thoughts_is_refused(tmp_path):
    folder = vlm_models.qwen3_vl(tmp_path / "plain")
    with pytest.raises(VdistillError, match="does not think") as caught:
        opened(folder, "low")
    assert "Thinking" in caught.value.hint


def test_thoughts_that_do_not_fit_are_refused_in_the_plan(folders, questions):
    with pytest.raises(TeacherError, match="its thoughts are") as caught:
        opened(folders[False], "4000").price(questions[0])
    assert "--think" in caught.value.hint


def test_the_command_plans_by_the_thoughts_so_far(tmp_path, catalog, folders):
    (tmp_path / "q.txt").write_text("\n".join(QUERIES[:6]) + "\n")
    command = ["label", "catalog", "--teacher", folders[True], "--think", 60, "--queries", "q.txt", "--images-per-call",
               2, "--holdout", 0, "--json"]  # fmt: skip
    most = vdistill(*command, "--budget", 12, "--dry-run", cwd=tmp_path).json["tokens"]
    first = vdistill(*command, "--budget", 12, cwd=tmp_path).json
    assert (first["judgments"], 0 < first["thought_tokens"] < 12 * 60) == (12, True)
    plan = vdistill(*command, "--budget", 24, "--dry-run", cwd=tmp_path).json
    paid = vdistill(*command, "--budget", 24, cwd=tmp_path).json
    assert plan["tokens"] == pytest.approx(paid["tokens"], rel=0.1)
    assert first["tokens"] < most
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        assert all(judgment.answer.coverage > 0.1 for judgment in database.judgments())
    assert "--think" in errors(vdistill(*command, "--think", "much", cwd=tmp_path))[0]
