"""What a vision-language model is asked: each image beside its letter, no thoughts, one view an image."""

import pytest
from PIL import Image

import vlm_models
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teachers.local_vlm import LocalVLM
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Answer, Failure, Question, ShownImage

# The ends of published templates: Qwen3-VL-Thinking opens a thought always, Qwen3.5 unless it is told not to think.
ALWAYS_THINKS = vlm_models.TEMPLATE.replace(
    "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}"
)
THINKS_UNLESS_TOLD = vlm_models.TEMPLATE.replace(
    "<|im_start|>assistant\n{% endif %}",
    "<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}",
)
WITHOUT_IMAGES = "content['text'] | replace('<image>', '')"  # a template that lets no text write one


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    home = tmp_path_factory.mktemp("images")
    shown = []
    for number, size in enumerate([(60, 60), (90, 40), (10, 200), (700, 650)]):
        path = home / f"{number}.png"
        Image.new("RGB", size, (40 * number, 90, 200)).save(path)
        shown.append(ShownImage(path.name, path, str(number)))
    return tuple(shown)


def opened(folder, say=lambda _: None, **options):
    return LocalVLM(str(folder), TeacherOptions(**options), say=say, device="cpu", precision="fp32")


def heard(teacher, question):
    """The prompt that reaches the model, image tokens as they are written before the processor counts them out."""
    seen = []
    processor = type(teacher._processor.own)
    with pytest.MonkeyPatch.context() as patch:
        call = processor.__call__
        patch.setattr(processor, "__call__", lambda self, **given: seen.append(given["text"]) or call(self, **given))
        (answer,) = teacher.ask([question])
    assert isinstance(answer, Answer), answer
    return seen[-1][0]


@pytest.mark.parametrize("template", [ALWAYS_THINKS, THINKS_UNLESS_TOLD], ids=["always", "unless told"])
def test_a_thinking_model_is_asked_behind_a_closed_thought(tmp_path, images, template):
    folder = vlm_models.qwen2_vl(tmp_path / "thinking", template)
    prompt = heard(opened(folder), Question("something red", images))
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_answers_after_a_closed_thought_have_a_key_of_their_own(tmp_path):
    plain = opened(vlm_models.qwen2_vl(tmp_path / "plain"))
    thinking = opened(vlm_models.qwen2_vl(tmp_path / "thinking", ALWAYS_THINKS))
    assert plain.prompt == "1/262144px"  # of all answers that are stored already
    assert thinking.prompt == "1/262144px/no-think"


@pytest.mark.parametrize("ask", ["best", "rank"])
def test_letters_that_the_model_hardly_means_are_a_failure(tmp_path, images, ask):
    teacher = opened(vlm_models.qwen2_vl(tmp_path / "elsewhere", letters=0.0))
    (answer,) = teacher.ask([Question("something red", images, ask)])
    assert isinstance(answer, Failure)
    assert "it means to say something else" in answer.reason


def test_letters_with_less_than_half_of_the_probability_are_reported_once(tmp_path, images):
    said = []
    teacher = opened(vlm_models.qwen2_vl(tmp_path / "unsure", letters=10.0), said.append)
    for answer in teacher.ask([Question(text, images) for text in ("red", "blue", "green")]):
        assert sum(answer.probabilities) == pytest.approx(1)
    assert sum("of its probability on the letters" in line for line in said) == 1


@pytest.mark.parametrize(
    "template", [vlm_models.LLAVA, vlm_models.ONEVISION, vlm_models.AYA], ids=["LLaVA-1.5", "OneVision", "Aya"]
)
def test_an_image_follows_its_letter_though_the_template_puts_all_images_first(tmp_path, images, template):
    teacher = opened(vlm_models.llava(tmp_path / "llava", template))
    prompt = heard(teacher, Question("something red", images))
    assert "A:<image>\nB:<image>\nC:<image>\nD:<image>\nThe customer" in prompt
    assert prompt.count("<image>") == 4
    assert teacher.prompt.endswith("/inline")


def test_where_no_image_can_follow_its_letter_its_place_is_named(tmp_path, images):
    folder = vlm_models.llava(tmp_path / "first", vlm_models.LLAVA.replace("content['text']", WITHOUT_IMAGES))
    teacher = opened(folder)
    prompt = heard(teacher, Question("something red", images[:3]))
    assert (
        "<image>\n<image>\n<image>\nOf the images above, the first is A, the second is B, the third is C.\nThe customer"
        in prompt
    )
    assert "A:" not in prompt
    assert teacher.prompt.endswith("/named")


def test_a_template_that_leaves_images_out_is_refused_before_anything_is_asked(tmp_path):
    template = vlm_models.LLAVA.replace("<image>", "").replace("content['text']", WITHOUT_IMAGES)
    folder = vlm_models.llava(tmp_path / "blind", template)
    with pytest.raises(VdistillError, match="leaves images out"):
        opened(folder)


def test_a_query_that_holds_the_models_word_for_an_image_fails_alone(tmp_path, images):
    teacher = opened(vlm_models.llava(tmp_path / "llava"))
    bad, good = teacher.ask([Question("an <image> of a cat", images), Question("a cat", images)])
    assert isinstance(bad, Failure)
    assert "<image>" in bad.reason
    assert isinstance(good, Answer)


@pytest.mark.parametrize(
    "make", [vlm_models.internvl, lambda path: vlm_models.llava(path, following=True)], ids=["InternVL", "LLaVA-NeXT"]
)
def test_an_image_is_one_view_and_the_plan_knows_its_tokens(tmp_path, images, make):
    teacher = opened(make(tmp_path / "tiling"))
    large, small = (Question("something red", images[at : at + 1] * 2) for at in (3, 0))
    price = teacher.price(large)
    first, second = teacher.ask([large, small])
    assert price.tokens == first.tokens == second.tokens  # a large image is no dozen tiles
    assert teacher.prompt.endswith("/whole")


def test_more_tokens_than_the_model_reads_are_refused_in_the_plan(tmp_path, images):
    teacher = opened(vlm_models.llava(tmp_path / "short", positions=300))
    assert teacher.price(Question("red", images[:2])).tokens <= 300
    with pytest.raises(
        TeacherError, match=r"4 images and the question are 3\d\d tokens, and short@\w+ reads 300"
    ) as caught:
        teacher.price(Question("red", images))
    assert "--images-per-call" in caught.value.hint


def test_what_goes_wrong_inside_a_model_is_an_error_of_one_line(tmp_path, images, monkeypatch):
    teacher = opened(vlm_models.qwen2_vl(tmp_path / "odd"))

    def broken(**_):
        raise IndexError("index out of range in self\nand sixty lines more")

    monkeypatch.setattr(teacher._model, "forward", broken)
    with pytest.raises(TeacherError, match="index out of range in self$"):
        teacher.ask([Question("red", images)])
