"""A model in this process thinks: up to a number of tokens, after which its thought is closed for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdistill.errors import VdistillError
from vdistill.label.teachers.options import Thinking
from vdistill.label.teachers.vlm_processor import Processor
from vdistill.label.teachers.vlm_template import Content

# As thinking models are published: without sampling they often think in circles. All of it is given, as models are
# shipped with other settings.
SAMPLING = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}


@dataclass(frozen=True, slots=True)
class Thought:
    """What a model thought about a question.  text: without marks.  tokens: that it took."""

    text: str
    tokens: int


class Thinker:
    """Writes prompts that end in an open thought, and closes them behind what the model thought."""

    def __init__(self, processor: Processor, thinking: Thinking, name: str) -> None:
        """Raises VdistillError for a model whose chat template knows no thoughts."""
        marks = processor.template.thought_marks
        if marks is None:
            raise VdistillError(
                f"{name} does not think: its chat template opens no thought",
                hint="leave --think out, or take the model's thinking variant (its name often ends in -Thinking)",
            )
        self._processor, self._thinking = processor, thinking
        self.start, self.end = marks

    def opened(self, system: str, content: Content) -> str:
        """A prompt that ends where the thought begins."""
        return self._processor.template.prompt(system, content, effort=self._thinking.effort, think=True)

    def closed(self, prompt: str, thought: str) -> str:
        """The prompt that ends where the answer begins; the text of the thought ends no earlier and shows no image."""
        inner = thought.replace(self.start, "").replace(self.end, "")
        if token := self._processor.template.image_token:
            inner = inner.replace(token, "")
        if not prompt.endswith("\n"):
            return f"{prompt}{inner}{self.end}"
        return f"{prompt}{inner.strip()}\n{self.end}\n\n"

    def generate(self, model: Any, tensors: Any, prompts: Sequence[str]) -> Tensor:
        """(prompts, new tokens): what the model writes until its thought ends, or the budget does.

        The draw depends on the prompts alone.
        """
        seed = int.from_bytes(hashlib.sha256("\0".join(prompts).encode()).digest()[:4], "big")
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            found: Tensor = model.generate(
                **tensors, **SAMPLING, **self._end(model), max_new_tokens=self._thinking.tokens,
                pad_token_id=self._processor.own.tokenizer.pad_token_id,
            )  # fmt: skip
        return found[:, tensors["input_ids"].shape[1] :].cpu()

    def _end(self, model: Any) -> dict[str, Any]:
        """What ends a generation: the end of the thought, and whatever ends an answer of this model."""
        tokenizer = self._processor.own.tokenizer
        ids = tokenizer.encode(self.end, add_special_tokens=False)
        if len(ids) != 1:
            return {"stop_strings": [self.end], "tokenizer": tokenizer}
        known = model.generation_config.eos_token_id
        usual = known if isinstance(known, list) else [tokenizer.eos_token_id if known is None else known]
        return {"eos_token_id": [*ids, *usual]}

    def read(self, written: Tensor) -> list[Thought]:
        """The thoughts (prompts) in what was written: what comes after their end is no part of them."""
        tokenizer = self._processor.own.tokenizer
        found = []
        for row in written:
            kept = row[row != tokenizer.pad_token_id]  # rows that ended early are filled up
            text = tokenizer.decode(kept, skip_special_tokens=True)
            found.append(Thought(text.partition(self.end)[0], len(kept)))
        return found
