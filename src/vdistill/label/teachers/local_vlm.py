"""A vision-language model in this process: any Hugging Face image-text-to-text model."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vdistill.encoders.device import pick_device, pick_precision
from vdistill.encoders.pretrained import quiet_transformers
from vdistill.encoders.weights import load_whole
from vdistill.errors import ImageError, TeacherError, VdistillError
from vdistill.label.prompts import letters
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers import vlm_cost
from vdistill.label.teachers.letter_mass import LetterMass
from vdistill.label.teachers.model_name import model_name
from vdistill.label.teachers.notices import Notices
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.shown_image import shown
from vdistill.label.teachers.vlm_errors import BROKEN, first_line, loading, out_of_memory
from vdistill.label.teachers.vlm_files import open_files
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE, MAX_PIXELS = 1024, 512 * 512
# About, where a model's own files cannot be asked: of an image of MAX_PIXELS.
TOKENS_OF_TEXT, TOKENS_PER_IMAGE, PATCHES_PER_IMAGE = 150, 340, 1350


@dataclass(frozen=True, slots=True)
class Ready:
    """A question as the model will see it."""

    question: Question
    prompt: str
    images: list[Image.Image]


class LocalVLM:
    """Reads the probabilities of the option letters from one forward pass, several questions a batch.

    Asked for a ranking (`--ask rank`) it orders the letters by those probabilities: the most probable order (the
    mode) of the Plackett–Luce model that they define. Nothing is generated, so nothing has to be parsed.
    """

    batch_size = 4
    concurrency = 1
    looks = True

    def __init__(
        self,
        source: str,
        options: TeacherOptions,
        *,
        say: Callable[[str], None],
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Look the model up and try its processor; its weights are loaded, and downloaded, with the first question.

        Raises VdistillError where it cannot be had or could not answer, saying what to do.
        """
        if options.thinking.tokens:
            raise VdistillError(
                "--think: a model in this process is asked for a letter, and does not think first",
                hint="leave --think out, or ask a server with --endpoint URL",
            )
        self._source, self._say, self._say_once = source, say, Notices(say).once
        self._wording, self._most_pixels = options.wording, options.max_pixels or MAX_PIXELS
        self._device = pick_device(device)
        self._dtype = torch.bfloat16 if pick_precision(precision, self._device) == "bf16" else torch.float32
        opened = open_files(source, plan=options.plan, say=say)
        self._files, self._config, self._known_processor = opened.files, opened.config, opened.processor
        self._taken: dict[int, tuple[int, int]] = {}  # tokens and patches of a call, by its number of images
        self.name = model_name(source)
        marks = opened.processor.marks if opened.processor else ()
        self.prompt = "/".join([options.wording.version, f"{self._most_pixels}px", *marks])
        self.machine = "this CPU" if self._device.type == "cpu" else "this GPU"

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; an image that cannot be read makes its question a Failure."""
        seen = [self._look(question) for question in questions]
        answers = iter(self._answers([one for one in seen if not isinstance(one, Failure)]))
        return [one if isinstance(one, Failure) else next(answers) for one in seen]

    def price(self, question: Question) -> Price:
        """Tokens as the processor makes them, and this machine's time for them; it costs no money here.

        Both are of the first question with so many images. No weights are needed.
        """
        count = len(letters(len(question.images)))
        if count not in self._taken:
            self._taken[count] = self._measure(question)
        tokens, patches = self._taken[count]
        return Price(tokens=tokens, seconds=self._seconds(tokens, patches))

    def needs(self) -> list[str]:
        """What has to come first: the download of the weights, where it is known and still to come."""
        size = self._files.to_download
        return [f"{self.name}: {size / 1e9:.1f} GB of weights will be downloaded first"] if size else []

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers whom these images suit."""
        content = self._wording.request([None] * len(images), count)
        try:
            opened = [self._shown(image) for image in images]
            inputs = self._processor.inputs([self._processor.prompt(self._wording.system, content)], [opened])
        except (ImageError, *BROKEN) as error:
            return Failure(first_line(error))
        # All of it is said, as models are shipped with settings that would write the same lines every time.
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 40 * count}
        tokens = self._run(lambda: self._model.generate(**self._tensors(inputs), **sampling))
        said = tokens[0, inputs["input_ids"].shape[1] :]
        text = self._processor.own.tokenizer.decode(said, skip_special_tokens=True)
        return Written(tuple(text.splitlines()), int(tokens.shape[1]))

    def close(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("_model", None)

    @property
    def _processor(self) -> Any:
        if self._known_processor is None:
            raise TeacherError(f"{self.name} was opened for a plan", hint="open it again to ask it")
        return self._known_processor

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForImageTextToText

        for line in self.needs():
            self._say(line)
        self._say(f"loading {self.name} on {self._device}, {str(self._dtype).removeprefix('torch.')}")
        with loading(self._source), quiet_transformers():
            model = load_whole(AutoModelForImageTextToText, self._files.name, dtype=self._dtype, **self._files.where)
            self._processor.fit(model)
            return model.eval().to(self._device)

    @cached_property
    def _only_last(self) -> dict[str, int]:
        """Spares the logits of all positions but the last, where the model knows how."""
        known = inspect.signature(self._model.forward).parameters
        return {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    @cached_property
    def _size(self) -> vlm_cost.Size | None:
        """Of the model's configuration, else by its name."""
        return vlm_cost.size_by_name(self._source) if self._config is None else vlm_cost.size_of(self._config)

    def _seconds(self, tokens: int, patches: int) -> float:
        if self._size is None:
            return 0.0
        rate = vlm_cost.speed(str(self._device), self._dtype)
        return self._size.operations(tokens, patches) / rate * vlm_cost.OVERHEAD

    def _measure(self, question: Question) -> tuple[int, int]:
        """Tokens and image patches of a question. Raises TeacherError for more tokens than the model reads."""
        if self._known_processor is not None and not isinstance(ready := self._look(question), Failure):
            inputs = self._processor.inputs([ready.prompt], [ready.images])
            self._check_length(inputs, len(question.images))
            return int(inputs["input_ids"].shape[1]), vlm_cost.patches_of(inputs, self._config)
        area = self._most_pixels / MAX_PIXELS * len(question.images)
        return TOKENS_OF_TEXT + round(TOKENS_PER_IMAGE * area), round(PATCHES_PER_IMAGE * area)

    def _look(self, question: Question) -> Ready | Failure:
        """The question with its images within the bounds, or why one of them cannot be read."""
        found = []
        for image in question.images:
            try:
                found.append(self._shown(image))
            except ImageError as error:
                return Failure(f"{image.item_id} cannot be read: {error.message}")
        content = self._wording.content(question.query, found, question.ask)
        try:
            return Ready(question, self._processor.prompt(self._wording.system, content), found)
        except VdistillError as error:
            return Failure(error.message)

    def _shown(self, image: ShownImage) -> Image.Image:
        return shown(image.path, most_side=MOST_SIDE, most_pixels=self._most_pixels)

    def _answers(self, ready: Sequence[Ready]) -> list[Answer | Failure]:
        """One forward pass; where memory or the processor does not take them together, two of half the questions."""
        if not ready:
            return []
        try:
            inputs = self._processor.inputs([one.prompt for one in ready], [one.images for one in ready])
        except BROKEN as error:
            if len(ready) > 1:
                return self._halves(ready)
            return [Failure(f"the model's processor fails: {first_line(error)}")]
        self._check_length(inputs, max(len(one.images) for one in ready))
        logits = self._run(lambda: self._last_logits(inputs), may_halve=len(ready) > 1)
        if logits is None:
            return self._halves(ready)
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return [self._answer(one.question, *row) for one, *row in zip(ready, logits, counts, strict=True)]

    def _halves(self, ready: Sequence[Ready]) -> list[Answer | Failure]:
        half = len(ready) // 2
        return self._answers(ready[:half]) + self._answers(ready[half:])

    def _run(self, model_call: Callable[[], Any], *, may_halve: bool = False) -> Any:
        """What the model gives; None where memory does not reach and less may be tried.

        Raises TeacherError with one line for whatever goes wrong inside the model.
        """
        self._model  # noqa: B018 - its own errors are no failures of a forward pass
        try:
            with torch.inference_mode():
                return model_call()
        except (MemoryError, *BROKEN) as error:
            if not out_of_memory(error):
                raise TeacherError(
                    f"{self.name} fails: {first_line(error)}", hint="--debug shows where; another model may do"
                ) from error
            if not may_halve:
                raise self._too_large() from error
        return None

    def _last_logits(self, inputs: Any) -> Tensor:
        """(questions, vocabulary), float32: the logits of the first token of the answer."""
        logits: Tensor = self._model(**self._tensors(inputs), **self._only_last).logits[:, -1]
        return logits.float().cpu()

    def _tensors(self, inputs: Any) -> dict[str, Tensor]:
        return {
            name: value.to(self._device, self._dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _answer(self, question: Question, logits: Tensor, tokens: int) -> Answer | Failure:
        log_probabilities = logits.double().log_softmax(dim=0)
        ids = [self._processor.letter_ids[letter] for letter in letters(len(question.images))]
        mass = LetterMass(tuple(log_probabilities[of_letter].exp().sum().item() for of_letter in ids))
        if not math.isfinite(mass.total):
            return Failure("the model's scores of the letters are not finite")
        if failure := mass.failure():
            return failure
        if doubt := mass.doubt(self.name):
            self._say_once("mass", doubt)
        if question.ask == "rank":
            order = sorted(range(len(mass.of)), key=lambda position: -mass.of[position])
            return Answer(order=tuple(order), tokens=int(tokens))
        return Answer(probabilities=mass.shares, tokens=int(tokens))

    def _check_length(self, inputs: Any, images: int) -> None:
        """Raise TeacherError for more tokens than the model's positions."""
        tokens = inputs["input_ids"].shape[1]
        limit = getattr(_text_config(self._config), "max_position_embeddings", None)
        if isinstance(limit, int) and tokens > limit:
            raise TeacherError(
                f"{images} images and the question are {tokens:,} tokens, and {self.name} reads {limit:,}",
                hint="show fewer images (--images-per-call) or smaller ones (--max-pixels)",
            )

    def _too_large(self) -> TeacherError:
        return TeacherError(
            f"{self.name} does not fit into the memory of {self._device}",
            hint="show fewer images (--images-per-call), take a smaller teacher, or ask a server with --endpoint",
        )


def _text_config(config: Any) -> Any:
    return config.get_text_config()
