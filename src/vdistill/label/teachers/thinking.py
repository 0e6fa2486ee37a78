"""`--think`: whether a model may think before it answers, and how many tokens that may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vdistill.errors import VdistillError
from vdistill.label.teachers.chat_terms import QUIET

OF_LOW = 2048  # tokens; what models of low effort need for a question of eight images, and some to spare


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much a model may think.

    tokens: of the answer, for thoughts; 0 is no thinking. effort: what the server is asked for by name, if anything.
    """

    tokens: int = 0
    effort: str | None = None

    @property
    def version(self) -> str:
        """For the key of answers: "" without thinking, whose keys are those of before there was any."""
        return f"/think {self.effort or self.tokens}" if self.tokens else ""

    def fields(self) -> dict[str, Any]:
        """What says so in a request, to servers that fill in a model's chat template and to those that take efforts.

        Without thinking the effort is sent to those alone that think without it (see Terms).
        """
        template = {"chat_template_kwargs": {"enable_thinking": self.tokens > 0}}
        effort = self.effort if self.tokens else QUIET[0]
        return template | ({"reasoning_effort": effort} if effort else {})


def read_thinking(said: str) -> Thinking:
    """`off`, `low` or a number of tokens. Raises VdistillError for anything else."""
    if said == "off":
        return Thinking()
    if said == "low":
        return Thinking(OF_LOW, "low")
    if said.isascii() and said.isdigit() and 0 < int(said) <= 1_000_000:
        return Thinking(int(said))
    raise VdistillError(
        f"--think is {said!r}", hint="off, low, or how many tokens the model may think for, such as 4000"
    )
