"""A vision-language model in this process: any Hugging Face image-text-to-text model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vdistill.encoders.device import pick_device, pick_precision
from vdistill.encoders.pretrained import quiet_transformers
from vdistill.encoders.weights import load_whole
from vdistill.errors import TeacherError, VdistillError, first_line
from vdistill.label.habits import Habits
from vdistill.label.prompts import CHARACTERS, letters, longest_rewording, usual_rewording
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers.letter_mass import LetterMass
from vdistill.label.teachers.model_images import load_each, load_scaled
from vdistill.label.teachers.model_names import model_name
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.vlm_computing import computed
from vdistill.label.teachers.vlm_cost import Size, Work, size_by_name, size_of
from vdistill.label.teachers.vlm_letters import Ready, check_length, read_letters
from vdistill.label.teachers.vlm_loading import BROKEN, loading, open_files
from vdistill.label.teachers.vlm_processor import Processor
from vdistill.label.teachers.vlm_template import Content
from vdistill.label.teachers.vlm_thoughts import Thinker
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE, MAX_PIXELS = 1024, 512 * 512
ONE_BY_ONE = 8.0  # times what a token costs among many: a model that writes reads its weights for each


class LocalVLM:
    """Reads the probabilities of the option letters from one forward pass, several questions per batch.

    Asked for a ranking (`--ask rank`) it orders the letters by those probabilities: the most probable order (the
    mode) of the Plackett–Luce model that they define. No answer is generated, so nothing has to be parsed; with
    `--think` a thought is, and the probabilities are those behind it.
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

        Raises VdistillError, with a remedy, where it cannot be had or could not answer.
        """
        self._source, self._say, self._doubted = source, say, False
        self._wording, self._most_pixels = options.wording, options.max_pixels or MAX_PIXELS
        self._device = pick_device(device)
        self._dtype = torch.bfloat16 if pick_precision(precision, self._device) == "bf16" else torch.float32
        opened = open_files(source, plan=options.plan, say=say)
        self._files, self._known_processor = opened.files, opened.processor
        self._config: Any = opened.config
        self._work: dict[int, Work] = {}  # of a question, by its number of images
        self.name = model_name(source)
        self.thoughts = options.thinking.tokens
        self._habits: Habits | None = None
        self._thinker: Thinker | None = None
        key_parts: tuple[str, ...] = ()
        if opened.processor and self.thoughts:
            self._thinker = Thinker(opened.processor, options.thinking, self.name)
            key_parts = opened.processor.thinking_key_parts
        elif opened.processor:
            key_parts = opened.processor.key_parts
        self.prompt = "/".join([options.wording.version, f"{self._most_pixels}px", *key_parts])
        self.prompt += options.thinking.version
        self.none = options.wording.none_version
        self.machine = "this CPU" if self._device.type == "cpu" else "this GPU"

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; an image that cannot be read makes its question a Failure."""
        prepared = [self._prepare(question) for question in questions]
        answers = iter(self._answers([one for one in prepared if not isinstance(one, Failure)]))
        return [one if isinstance(one, Failure) else next(answers) for one in prepared]

    def price(self, question: Question) -> Price:
        """Tokens as the processor makes them, and this machine's time for them; it costs no money here.

        Both are of the first question with so many images. No weights are needed. Thoughts are as many as in the
        answers so far, else as many as there may be.
        """
        count = len(letters(len(question.images)))
        if count not in self._work:
            self._work[count] = self._measured(question)
        work = self._work[count]
        thought = round(self._habits.thought_tokens) if self._habits and self.thoughts else self.thoughts
        seconds = self._seconds(work)
        if thought:  # the question is read twice: before the thought, and with it
            seconds += self._seconds(work) + ONE_BY_ONE * self._seconds(Work(thought, 0))
        return Price(tokens=work.tokens + thought, seconds=seconds)

    def learn(self, habits: Habits | None) -> None:
        """Price thoughts by what was thought so far."""
        self._habits = habits

    def needs(self) -> list[str]:
        """What has to come first: the download of the weights, if there is one and its size is known."""
        size = self._files.to_download
        return [f"{self.name}: {size / 1e9:.1f} GB of weights will be downloaded first"] if size else []

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers who would like these images."""
        scaled = load_each(images, self._scaled)
        if isinstance(scaled, Failure):
            return scaled
        content = self._wording.request([None] * len(images), count)
        return self._write(self._wording.system, content, scaled, 40 * count)

    @property
    def rewording(self) -> str:
        """The version of the prompt that asks for other wordings."""
        return self._wording.rewording_version

    def reword(self, query: str, count: int) -> Written | Failure:
        """About `count` other wordings of a query."""
        content: Content = [("text", self._wording.other_words(query, count))]
        return self._write(self._wording.system_of_rewording, content, [], longest_rewording(query, count))

    def price_of_rewording(self, query: str, count: int) -> Price:
        """Tokens by the length of the texts, and a rough time on this machine: each token is a pass of its own."""
        prompt = len(self._wording.system_of_rewording + self._wording.other_words(query, count)) // CHARACTERS
        written = usual_rewording(query, count)
        return Price(tokens=prompt + written, seconds=ONE_BY_ONE * self._seconds(Work(prompt + written, 0)))

    def _write(self, system: str, content: Content, scaled: Sequence[Image.Image], most: int) -> Written | Failure:
        try:
            inputs = self._processor.inputs([self._processor.template.prompt(system, content)], [scaled])
        except (VdistillError, *BROKEN) as error:
            return Failure(first_line(error))
        # All of it is given, as models are shipped with settings that would write the same lines every time.
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": most}
        tokens = self._run(lambda: self._model.generate(**self._tensors(inputs), **sampling))
        written = tokens[0, inputs["input_ids"].shape[1] :]
        text = self._processor.own.tokenizer.decode(written, skip_special_tokens=True)
        return Written(tuple(text.splitlines()), int(tokens.shape[1]))

    @property
    def source(self) -> str:
        """The model's id or folder."""
        return self._source

    def load(self) -> None:
        """Load the weights now, and not with the first question."""
        self._model  # noqa: B018 - loaded by being asked for

    def close(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("_model", None)

    @property
    def _processor(self) -> Processor:
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
    def _size(self) -> Size | None:
        """By the model's configuration, else by its name."""
        return size_by_name(self._source) if self._config is None else size_of(self._config)

    def _seconds(self, work: Work) -> float:
        return self._size.seconds(work, str(self._device), self._dtype) if self._size else 0.0

    def _measured(self, question: Question) -> Work:
        """What a question takes, estimated where there is no processor. Raises TeacherError as `_check_length` does."""
        if self._known_processor is not None and not isinstance(ready := self._prepare(question), Failure):
            inputs = self._processor.inputs([ready.prompt], [ready.images])
            self._check_length(inputs, len(question.images), self.thoughts)
            return Work.of(inputs, self._config)
        return Work.usual(len(question.images), self._most_pixels)

    def _prepare(self, question: Question) -> Ready | Failure:
        """The question with its images scaled, or why it cannot be asked."""
        images = load_each(question.images, self._scaled)
        if isinstance(images, Failure):
            return images
        content = self._wording.content(question.query, images, question.ask, question.none)
        try:
            if self._thinker is not None:
                return Ready(question, self._thinker.opened(self._wording.system, content), images, None)
            return Ready(question, self._processor.template.prompt(self._wording.system, content), images)
        except VdistillError as error:
            return Failure(error.message)

    def _scaled(self, image: ShownImage) -> Image.Image:
        return load_scaled(image.source, most_side=MOST_SIDE, most_pixels=self._most_pixels)

    def _answers(self, ready: Sequence[Ready]) -> list[Answer | Failure]:
        """One forward pass; where memory or the processor does not take them together, two of half the questions."""
        if not ready:
            return []
        if ready[0].thought_tokens is None:
            thought = self._think(ready)
            return self._halves(ready) if thought is None else self._answers(thought)
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
        return [self._answer(one, *row) for one, *row in zip(ready, logits, counts, strict=True)]

    def _think(self, ready: Sequence[Ready]) -> list[Ready] | None:
        """The same questions behind what the model thought; None where half of them may be tried."""
        thinker, prompts = self._thinker, [one.prompt for one in ready]
        assert thinker is not None
        try:
            inputs = self._processor.inputs(prompts, [one.images for one in ready])
        except BROKEN:
            if len(ready) > 1:
                return None
            return [replace(ready[0], thought_tokens=0)]  # the pass that reads its answer says what is wrong
        self._check_length(inputs, max(len(one.images) for one in ready), self.thoughts)
        written = self._run(
            lambda: thinker.generate(self._model, self._tensors(inputs), prompts), may_halve=len(ready) > 1
        )
        if written is None:
            return None
        return [
            replace(one, prompt=thinker.closed(one.prompt, thought.text), thought_tokens=thought.tokens)
            for one, thought in zip(ready, thinker.read(written), strict=True)
        ]

    def _halves(self, ready: Sequence[Ready]) -> list[Answer | Failure]:
        half = len(ready) // 2
        return self._answers(ready[:half]) + self._answers(ready[half:])

    def _run(self, model_call: Callable[[], Any], *, may_halve: bool = False) -> Any:
        """What the model gives; None where memory does not suffice and half of it may be tried.

        Raises TeacherError with one line for whatever goes wrong inside the model.
        """
        self._model  # noqa: B018 - loaded here, as its own errors are no failures of a forward pass
        return computed(model_call, self.name, self._device, may_halve=may_halve)

    def _last_logits(self, inputs: Any) -> Tensor:
        """(questions, vocabulary), float32: the logits of the first token of the answer."""
        logits: Tensor = self._model(**self._tensors(inputs), **self._only_last).logits[:, -1]
        return logits.float().cpu()

    def _tensors(self, inputs: Any) -> dict[str, Tensor]:
        return {
            name: value.to(self._device, self._dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _answer(self, ready: Ready, logits: Tensor, tokens: int) -> Answer | Failure:
        return read_letters(ready, logits, int(tokens), self._processor.letter_ids, self._doubt)

    def _doubt(self, mass: LetterMass) -> None:
        """Tell the user once about letters that the model hardly means."""
        if not self._doubted and (doubt := mass.doubt(self.name)):
            self._doubted = True
            self._say(doubt)

    def _check_length(self, inputs: Any, images: int, thoughts: int = 0) -> None:
        check_length(self._config, self.name, images, inputs["input_ids"].shape[1], thoughts)
