"""A vision-language model in this process: any Hugging Face image-text-to-text model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vdistill.encoder import pick_device, pick_precision, quiet_transformers
from vdistill.errors import ImageError, TeacherError, VdistillError
from vdistill.images import load
from vdistill.label.prompts import PROMPT_VERSION, SYSTEM, content, letters
from vdistill.label.teacher import Price
from vdistill.label.teachers.vlm_processor import load_processor
from vdistill.records import Answer, Failure, Question

MAX_PIXELS = 512 * 512
LEAST_SIDE = 28  # smaller pictures are refused by some models
TOKENS_PER_IMAGE = 340  # about, of a picture of MAX_PIXELS


class LocalVLM:
    """Reads the probabilities of the option letters from one forward pass, several questions a batch.

    Asked for a ranking (`--ask rank`) it orders the letters by those probabilities: the most probable order of the
    Plackett–Luce model that they define. Nothing is generated, so nothing has to be parsed.
    """

    batch_size = 4
    concurrency = 1
    looks = True
    prompt = f"{PROMPT_VERSION}/{MAX_PIXELS}px"

    def __init__(self, source: str, *, say: Callable[[str], None]) -> None:
        """Look the model up; its weights are loaded with the first question.

        Raises VdistillError where it cannot be had, saying what to do without network.
        """
        from transformers import AutoConfig

        self._source, self._say = source, say
        try:
            with quiet_transformers():
                AutoConfig.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise _unavailable(source, error) from error
        self.name = _name(source)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; a picture that cannot be read makes its question a Failure."""
        pictures = [_pictures(question) for question in questions]
        found: list[Answer | Failure] = [Failure(one) if isinstance(one, str) else Failure("") for one in pictures]
        usable = [place for place, one in enumerate(pictures) if not isinstance(one, str)]
        if usable:
            inputs = self._inputs([questions[place] for place in usable], [pictures[place] for place in usable])
            logits = self._last_logits(inputs)
            tokens = inputs["attention_mask"].sum(dim=1).tolist()
            for row, place in enumerate(usable):
                found[place] = self._answer(questions[place], logits[row], int(tokens[row]))
        return found

    def price(self, question: Question) -> Price:
        """Tokens, estimated; the machine's time is not known beforehand, and it costs no money here."""
        return Price(tokens=150 + TOKENS_PER_IMAGE * len(question.images))

    def close(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("_model", None)

    @cached_property
    def _processor(self) -> Any:
        with quiet_transformers():
            processor = load_processor(self._source)
        processor.tokenizer.padding_side = "left"  # so that the last position is the answer's in every row
        return processor

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForImageTextToText

        device = pick_device("auto")
        dtype = torch.bfloat16 if pick_precision("auto", device) == "bf16" else torch.float32
        try:
            with quiet_transformers():
                model = AutoModelForImageTextToText.from_pretrained(self._source, dtype=dtype)
        except (OSError, ValueError) as error:
            raise _unavailable(self._source, error) from error
        self._say(f"{self.name} on {device}, {str(dtype).removeprefix('torch.')}")
        return model.eval().to(device)

    def _inputs(self, questions: Sequence[Question], pictures: Sequence[Any]) -> Any:
        texts = [
            self._processor.apply_chat_template(_messages(question), add_generation_prompt=True, tokenize=False)
            for question in questions
        ]
        return self._processor(text=texts, images=list(pictures), padding=True, return_tensors="pt")

    def _last_logits(self, inputs: Any) -> Tensor:
        """(questions, vocabulary) of the first token of the answer. Raises TeacherError when memory runs out."""
        model = self._model
        try:
            with torch.inference_mode():
                output = model(**inputs.to(model.device), logits_to_keep=1)
        except torch.OutOfMemoryError as error:
            raise TeacherError(
                f"{self.name} does not fit into the memory of {model.device}",
                hint="show fewer pictures (--images-per-call), take a smaller teacher, or use --endpoint",
            ) from error
        logits: Tensor = output.logits[:, -1]
        return logits.float().cpu()

    def _answer(self, question: Question, logits: Tensor, tokens: int) -> Answer | Failure:
        scores = torch.stack(
            [logits[self._letter_ids(letter)].logsumexp(dim=0) for letter in letters(len(question.images))]
        )
        if not torch.isfinite(scores).all():
            return Failure("the model's scores of the letters are not finite")
        if question.ask == "rank":
            return Answer(order=tuple(scores.argsort(descending=True, stable=True).tolist()), tokens=tokens)
        return Answer(probabilities=tuple(scores.double().softmax(dim=0).tolist()), tokens=tokens)

    def _letter_ids(self, letter: str) -> list[int]:
        """The tokens that say this letter at the start of an answer: with and without a blank before it."""
        tokenizer = self._processor.tokenizer
        encoded = [tokenizer.encode(text, add_special_tokens=False) for text in (letter, f" {letter}")]
        return sorted({ids[0] for ids in encoded if len(ids) == 1}) or [encoded[0][0]]


def _messages(question: Question) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": part} if kind == "text" else {"type": "image"}
        for kind, part in content(question.query, question.images, question.ask)
    ]
    return [
        {"role": "system", "content": [{"type": "text", "text": SYSTEM}]},
        {"role": "user", "content": parts},
    ]


def _pictures(question: Question) -> list[Image.Image] | str:
    """The pictures within the bounds, or why one of them cannot be read."""
    found = []
    for shown in question.images:
        try:
            found.append(_bounded(load(shown.path, 512)))
        except ImageError as error:
            return f"{shown.item_id} cannot be read: {error.message}"
    return found


def _bounded(image: Image.Image) -> Image.Image:
    scale = min(1.0, (MAX_PIXELS / (image.width * image.height)) ** 0.5)
    size = tuple(max(LEAST_SIDE, round(side * scale)) for side in image.size)
    return image if size == image.size else image.resize((size[0], size[1]))


def _name(source: str) -> str:
    """A hub id as it is; a folder by its name and a hash of its settings and the sizes of its files."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    files = sorted((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    digest = hashlib.sha256(repr(files).encode() + (folder / "config.json").read_bytes())
    return f"{folder.resolve().name}@{digest.hexdigest()[:8]}"


def _unavailable(source: str, error: Exception) -> VdistillError:
    words = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return VdistillError(
        f"cannot get the teacher {source}: {words}",
        hint=f"Without network: on a machine that has it run `hf download {source} --local-dir DIR`, copy DIR here, "
        "and give --teacher DIR; or ask a server with --endpoint URL",
    )
