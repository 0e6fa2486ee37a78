"""A reranker in this process: each image is scored by itself, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from vdistill.encoders.device import pick_device, pick_precision
from vdistill.encoders.pretrained import quiet_transformers
from vdistill.errors import TeacherError, first_line
from vdistill.label.teacher import Price
from vdistill.label.teachers.model_images import load_each, load_scaled
from vdistill.label.teachers.model_names import model_name
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.scores import scored
from vdistill.label.teachers.vlm_computing import computed
from vdistill.label.teachers.vlm_cost import Size, Work, size_by_name, size_of
from vdistill.label.teachers.vlm_loading import BROKEN, loading, open_files
from vdistill.label.teachers.vlm_processor import Processor
from vdistill.label.teachers.vlm_rerank_layouts import layout_of
from vdistill.records import Answer, Failure, Question, ShownImage

VERSION = "1"  # part of the key of answers: raise it with any change of the words that a model reads
MOST_SIDE, MAX_PIXELS = 1024, 512 * 512
AT_ONCE = 8  # images


class LocalReranker:
    """Scores (query, image) pairs; an answer is comparable with all others to the same query."""

    batch_size = 1
    concurrency = 1
    looks = True
    pointwise = True

    def __init__(
        self,
        source: str,
        options: TeacherOptions,
        *,
        say: Callable[[str], None],
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Look the model up and try its processor; its weights are loaded with the first question.

        Raises VdistillError for a model that cannot be had, and, naming its class, for one whose layout is not known.
        """
        self._source, self._say, self._at_once = source, say, AT_ONCE
        self._most_pixels = options.max_pixels or MAX_PIXELS
        self._device = pick_device(device)
        self._dtype = torch.bfloat16 if pick_precision(precision, self._device) == "bf16" else torch.float32
        opened = open_files(source, plan=options.plan, say=say)
        self._files, self._known_processor, self._config = opened.files, opened.processor, opened.config
        self._layout = None if opened.config is None else layout_of(source, opened.config)
        self.name = f"rerank:{model_name(source)}"
        self.prompt = f"{VERSION}/{self._most_pixels}px"
        self.machine = "this CPU" if self._device.type == "cpu" else "this GPU"

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Score the images of each question; one that cannot be read makes its question a Failure."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """An estimate of the tokens, and of this machine's time for them; it costs no money here."""
        work = Work.usual(1, self._most_pixels)
        count = len(question.images)
        seconds = self._size.seconds(work, str(self._device), self._dtype) if self._size else 0.0
        return Price(tokens=count * work.tokens, seconds=count * seconds)

    def needs(self) -> list[str]:
        """The download of the weights, if there is one and its size is known."""
        size = self._files.to_download
        return [f"{self.name}: {size / 1e9:.1f} GB of weights will be downloaded first"] if size else []

    def close(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("_model", None)

    @property
    def _processor(self) -> Processor:
        if self._known_processor is None or self._layout is None:
            raise TeacherError(f"{self.name} was opened for a plan", hint="open it again to ask it")
        return self._known_processor

    @cached_property
    def _model(self) -> Any:
        assert self._layout is not None
        for line in self.needs():
            self._say(line)
        self._say(f"loading {self.name} on {self._device}, {str(self._dtype).removeprefix('torch.')}")
        with loading(self._source), quiet_transformers():
            return self._layout.load(self._files, self._dtype).eval().to(self._device)

    @cached_property
    def _size(self) -> Size | None:
        return size_by_name(self._source) if self._config is None else size_of(self._config)

    def _ask(self, question: Question) -> Answer | Failure:
        images = load_each(question.images, self._scaled)
        if isinstance(images, Failure):
            return images
        processor, layout = self._processor, self._layout
        token = processor.template.image_token
        if token and token in question.query:
            return Failure(f"a text holds {token}, which stands for an image")
        assert layout is not None
        prompt = layout.prompt(processor, question.query)
        try:
            return scored(question, *self._in_parts(prompt, images))
        except BROKEN as error:
            return Failure(f"the model's processor fails: {first_line(error)}")

    def _in_parts(self, prompt: str, images: Sequence[Image.Image]) -> tuple[list[float], int]:
        """The scores of images, and the tokens that were read; as many at once as memory takes."""
        scores: list[float] = []
        tokens, start = 0, 0
        while start < len(images):
            part = images[start : start + self._at_once]
            found = self._scores(prompt, part)
            if found is None:
                self._at_once = (len(part) + 1) // 2
                continue
            scores, tokens, start = scores + found[0], tokens + found[1], start + len(part)
        return scores, tokens

    def _scores(self, prompt: str, images: Sequence[Image.Image]) -> tuple[list[float], int] | None:
        """The same at once; None where memory does not take them together."""
        model, processor, layout = self._model, self._processor, self._layout
        assert layout is not None
        inputs = layout.inputs(processor.inputs([prompt] * len(images), [[one] for one in images]))
        tensors = {
            name: value.to(self._device, self._dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        scores = computed(
            lambda: layout.scores(model, processor, tensors), self.name, self._device, may_halve=len(images) > 1
        )
        return None if scores is None else (scores.cpu().tolist(), int(inputs["attention_mask"].sum()))

    def _scaled(self, image: ShownImage) -> Image.Image:
        return load_scaled(image.source, most_side=MOST_SIDE, most_pixels=self._most_pixels)
