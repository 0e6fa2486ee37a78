"""A vision-language model in this process: any Hugging Face image-text-to-text model."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from vdistill.device import pick_device, pick_precision
from vdistill.encoders.weights import load_whole
from vdistill.errors import ImageError, TeacherError, VdistillError
from vdistill.label.prompts import Wording, letters
from vdistill.label.teacher import Price, Written
from vdistill.label.teachers.aliases import close_models
from vdistill.label.teachers.model_name import model_name
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.pictures import shown
from vdistill.label.teachers.vlm_processor import letter_ids, load_processor, model_inputs
from vdistill.pretrained import quiet_transformers
from vdistill.records import Answer, Failure, Question, ShownImage

MOST_SIDE, MAX_PIXELS = 1024, 512 * 512
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 150, 340  # about, of a picture of MAX_PIXELS

Readable = tuple[Question, list[Image.Image]]


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
        """Look the model up; its weights are loaded with the first question.

        Raises VdistillError where it cannot be had, saying what to do without network.
        """
        self._source, self._say = source, say
        self._wording, self._most_pixels = options.wording, options.max_pixels or MAX_PIXELS
        self.prompt = f"{options.wording.version}/{self._most_pixels}px"
        self._device = pick_device(device)
        self._dtype = torch.bfloat16 if pick_precision(precision, self._device) == "bf16" else torch.float32
        _check(source)
        self.name = model_name(source)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; a picture that cannot be read makes its question a Failure."""
        seen = [_look(question, self._most_pixels) for question in questions]
        answers = iter(self._answers([one for one in seen if not isinstance(one, Failure)]))
        return [one if isinstance(one, Failure) else next(answers) for one in seen]

    def price(self, question: Question) -> Price:
        """Tokens, estimated; the machine's time is not known beforehand, and it costs no money here."""
        of_image = round(TOKENS_PER_IMAGE * self._most_pixels / MAX_PIXELS)
        return Price(tokens=TOKENS_OF_TEXT + of_image * len(letters(len(question.images))))

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers whom these pictures suit."""
        try:
            pictures = [shown(image.path, most_side=MOST_SIDE, most_pixels=self._most_pixels) for image in images]
        except ImageError as error:
            return Failure(error.message)
        parts = [{"type": kind, **({"text": part} if kind == "text" else {})}
                 for kind, part in self._wording.request(images, count)]  # fmt: skip
        inputs = model_inputs(self._processor, [_messages(self._wording.system, parts)], [pictures])
        with torch.inference_mode():
            tokens = self._model.generate(
                **self._tensors(inputs), do_sample=True, temperature=1.0, max_new_tokens=40 * count
            )
        said = tokens[0, inputs["input_ids"].shape[1] :]
        text = self._processor.tokenizer.decode(said, skip_special_tokens=True)
        return Written(tuple(text.splitlines()), int(tokens.shape[1]))

    def close(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("_model", None)

    @cached_property
    def _processor(self) -> Any:
        with _loading(self._source), quiet_transformers():
            return load_processor(self._source)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForImageTextToText

        self._say(f"loading {self.name} on {self._device}, {str(self._dtype).removeprefix('torch.')}")
        with _loading(self._source), quiet_transformers():
            model = load_whole(AutoModelForImageTextToText, self._source, dtype=self._dtype)
        return model.eval().to(self._device)

    @cached_property
    def _only_last(self) -> dict[str, int]:
        """Spares the logits of all positions but the last, where the model knows how."""
        known = inspect.signature(self._model.forward).parameters
        return {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def _answers(self, readable: Sequence[Readable]) -> list[Answer | Failure]:
        """One forward pass; where memory does not reach for it, two of half the questions."""
        if not readable:
            return []
        chats = [_chat(question, self._wording) for question, _ in readable]
        inputs = model_inputs(self._processor, chats, [pictures for _, pictures in readable])
        try:
            logits = self._last_logits(inputs)
        except torch.OutOfMemoryError as error:
            if len(readable) == 1:
                raise self._too_large() from error
            logits = None
        if logits is None:
            half = len(readable) // 2
            return self._answers(readable[:half]) + self._answers(readable[half:])
        counts = inputs["attention_mask"].sum(dim=1).tolist()
        return [self._answer(question, *row) for (question, _), *row in zip(readable, logits, counts, strict=True)]

    def _last_logits(self, inputs: Any) -> Tensor:
        """(questions, vocabulary), float32: the logits of the first token of the answer."""
        with torch.inference_mode():
            logits: Tensor = self._model(**self._tensors(inputs), **self._only_last).logits[:, -1]
        return logits.float().cpu()

    def _tensors(self, inputs: Any) -> dict[str, Tensor]:
        return {
            name: value.to(self._device, self._dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _answer(self, question: Question, logits: Tensor, tokens: int) -> Answer | Failure:
        known = letters(len(question.images))
        scores = torch.stack([logits[letter_ids(self._processor, letter)].logsumexp(dim=0) for letter in known])
        if not torch.isfinite(scores).all():
            return Failure("the model's scores of the letters are not finite")
        if question.ask == "rank":
            return Answer(order=tuple(scores.argsort(descending=True, stable=True).tolist()), tokens=int(tokens))
        return Answer(probabilities=tuple(scores.double().softmax(dim=0).tolist()), tokens=int(tokens))

    def _too_large(self) -> TeacherError:
        return TeacherError(
            f"{self.name} does not fit into the memory of {self._device}",
            hint="show fewer pictures (--images-per-call), take a smaller teacher, or ask a server with --endpoint",
        )


def _look(question: Question, most_pixels: int) -> Readable | Failure:
    """The question with its pictures within the bounds, or why one of them cannot be read."""
    found = []
    for image in question.images:
        try:
            found.append(shown(image.path, most_side=MOST_SIDE, most_pixels=most_pixels))
        except ImageError as error:
            return Failure(f"{image.item_id} cannot be read: {error.message}")
    return question, found


def _chat(question: Question, wording: Wording) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": part} if kind == "text" else {"type": "image"}
        for kind, part in wording.content(question.query, question.images, question.ask)
    ]
    return _messages(wording.system, parts)


def _messages(system: str, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": [{"type": "text", "text": system}]},
        {"role": "user", "content": parts},
    ]


def _check(source: str) -> None:
    """Notice early what can never answer: a model that is not there, or that is of another kind."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    with _loading(source), quiet_transformers():
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise VdistillError(
            f"{source} is a {config.model_type} model, which does not answer questions about pictures",
            hint="give an image-text-to-text model, for example qwen2-vl",
        )
    folder = Path(source)
    if folder.is_dir() and not any(path.suffix in (".safetensors", ".bin") for path in folder.iterdir()):
        raise VdistillError(f"{source} holds no weights", hint="copy the whole folder, *.safetensors included")


@contextlib.contextmanager
def _loading(source: str) -> Iterator[None]:
    """Say what helps where a part of the model cannot be loaded."""
    try:
        yield
    except SafetensorError as error:
        raise VdistillError(
            f"cannot load the teacher {source}: {_first_line(error)}",
            hint="a file of its weights is damaged or incomplete: download it again",
        ) from error
    except OSError as error:
        close = "".join(f"did you mean {name}? " for name in close_models(source)[:1])
        raise VdistillError(
            f"cannot get the teacher {source}: {_first_line(error)}",
            hint=f"{close}Without network: on a machine that has it run `hf download {source} --local-dir DIR`, "
            "copy DIR here, and give --teacher DIR; or ask a server with --endpoint URL",
        ) from error
    except ImportError as error:
        raise VdistillError(
            f"cannot load the teacher {source}: {_first_line(error)}", hint="install the package that it names"
        ) from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise VdistillError(
            f"cannot load the teacher {source}: {_first_line(error)}",
            hint="a newer transformers may know it; code that comes with a model is never run",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
