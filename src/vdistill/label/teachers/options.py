"""What a user says about how a teacher is asked: wording, image size, thinking, limits and prices."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from vdistill.errors import TeacherError, VdistillError
from vdistill.label.prompts import Wording

PRICES = "VDISTILL_USD_PER_MILLION"
LOW = 2048  # tokens; what models need at low effort for a question of eight images, and some to spare

# US dollars per million tokens: of the prompt, of the completion; and the share of them that a batch costs, if given.
Prices = tuple[float, float] | tuple[float, float, float]


class Memory(Protocol):
    """Keeps JSON-able values by name from run to run. May be used from several threads at once."""

    def recall(self, name: str) -> Any | None:
        """The value that was last kept under `name`, or None."""
        ...

    def keep(self, name: str, value: Any) -> None:
        """Keep a value."""
        ...


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much a model may think before it answers (`--think`).

    tokens: added to the cap on the answer, 0 for no thinking. effort: the `reasoning_effort` to ask for, if any.
    """

    tokens: int = 0
    effort: str | None = None

    @property
    def version(self) -> str:
        """Part of the key of answers; "" without thinking."""
        return f"/think {self.effort or self.tokens}" if self.tokens else ""


def read_thinking(value: str) -> Thinking:
    """`off`, `low` or a number of tokens. Raises VdistillError for anything else."""
    if value in ("off", "low"):
        return Thinking(LOW, "low") if value == "low" else Thinking()
    if value.isascii() and value.isdigit() and 0 < int(value) <= 1_000_000:
        return Thinking(int(value))
    raise VdistillError(f"--think is {value!r}", hint="off, low, or the most tokens for thoughts, such as 4000")


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Each teacher takes what concerns it; most of it concerns models alone.

    max_pixels: of an image as it is shown; None leaves it to the teacher. calls_per_minute: None for no limit.
    prices: by model name. plan: nothing will be asked, so the weights of a model in this process are not needed.
    key_name: the environment variable with the server's key; None for VDISTILL_API_KEY or OPENAI_API_KEY.
    memory: where to keep, for later runs, which parameters a server accepts.  batch: questions are asked in batches.
    offline: their files go to no server.
    endpoints: all of them, where several servers share the questions; `endpoint` is the first.
    concurrency: calls at once, at each of them.
    """

    endpoint: str | None = None
    concurrency: int = 8
    calls_per_minute: int | None = None
    wording: Wording = field(default_factory=Wording)
    max_pixels: int | None = None
    prices: Mapping[str, Prices] = field(default_factory=dict)
    plan: bool = False
    key_name: str | None = None
    thinking: Thinking = field(default_factory=Thinking)
    memory: Memory | None = None
    batch: bool = False
    offline: bool = False
    endpoints: tuple[str, ...] = ()

    @property
    def servers(self) -> tuple[str | None, ...]:
        """The endpoints; None for the usual one."""
        return self.endpoints or (self.endpoint,)

    def price_of(self, *names: str) -> Prices | None:
        """The environment's prices, else those of the first of a model's names that is in the table; None without.

        Raises TeacherError where the environment does not hold two prices.
        """
        value = os.environ.get(PRICES, "").strip()
        if not value:
            return next((self.prices[name] for name in names if name in self.prices), None)
        try:
            return _numbers(value.split(","))
        except ValueError as error:
            raise TeacherError(f"{PRICES} is {value!r}", hint=f"two prices, for example {PRICES}=0.15,0.60") from error


def refuse_without_price(teacher: str, model: str, prices: Mapping[str, Prices]) -> VdistillError:
    """The error of `--max-cost` where the price of a call is unknown."""
    close = difflib.get_close_matches(model.lower(), {name.lower() for name in prices}, n=1)
    spelt = next((name for name in prices if close and name.lower() == close[0]), None)
    like = f'; there is a price of "{spelt}"' if spelt else ""
    return VdistillError(
        f"--max-cost needs a price, and the price of {teacher} is not known{like}",
        hint=f"dollars per million tokens read and written: {PRICES}=0.15,0.60, or in vdistill.toml "
        f'[prices] "{model}" = [0.15, 0.60]; [0, 0] where it costs nothing',
    )


def price_table(table: Mapping[str, Any], where: str) -> dict[str, Prices]:
    """The `[prices]` of a configuration file. Raises VdistillError for what is not two prices."""
    found = {}
    for model, prices in table.items():
        try:
            found[model] = _numbers(prices)
        except (TypeError, ValueError) as error:
            raise VdistillError(
                f"{where}: the prices of {model!r} are {prices!r}",
                hint=f'dollars per million tokens read and written: "{model}" = [0.15, 0.60]',
            ) from error
    return found


def _numbers(prices: Any) -> Prices:
    prompt, completion, *factor = (float(price) for price in prices)
    if not all(0 <= number < math.inf for number in (prompt, completion, *factor)):
        raise ValueError("a price is negative or infinite")
    if len(factor) > 1 or any(number > 1 for number in factor):
        raise ValueError("a batch costs a share of the price, from 0 to 1")
    return (prompt, completion, factor[0]) if factor else (prompt, completion)
