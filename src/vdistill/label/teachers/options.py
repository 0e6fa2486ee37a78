"""What a user says about how teachers are asked; each teacher takes what concerns it."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vdistill.errors import TeacherError, VdistillError
from vdistill.label.prompts import Wording
from vdistill.label.teachers.memory import Memory, NoMemory
from vdistill.label.teachers.thinking import Thinking

PRICES = "VDISTILL_USD_PER_MILLION"

Prices = tuple[float, float]  # US dollars for a million tokens read, and written


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Most of it concerns models alone.

    max_pixels: of a picture as it is shown; None leaves it to the teacher. calls_per_minute: None is no limit.
    prices: by model name. plan: nothing will be asked, so a model in this process need not be there.
    key_name: the environment variable with the server's key; None is VDISTILL_API_KEY or OPENAI_API_KEY.
    memory: what a server was found to take, for later runs.
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
    memory: Memory = field(default_factory=NoMemory)

    def price_of(self, *names: str) -> Prices | None:
        """What the environment says, else the price table for the first of these names of a model that it has.

        None where nobody says. Raises TeacherError where the environment does not hold two prices.
        """
        said = os.environ.get(PRICES, "").strip()
        if not said:
            return next((self.prices[name] for name in names if name in self.prices), None)
        try:
            return _two(said.split(","))
        except ValueError as error:
            raise TeacherError(f"{PRICES} is {said!r}", hint=f"two prices, for example {PRICES}=0.15,0.60") from error


def refuse_without_price(teacher: str, model: str, prices: Mapping[str, Prices]) -> VdistillError:
    """The error of `--max-cost` where nobody says what a call costs."""
    close = difflib.get_close_matches(model.lower(), {name.lower() for name in prices}, n=1)
    spelt = next((name for name in prices if close and name.lower() == close[0]), None)
    like = f'; there is a price of "{spelt}"' if spelt else ""
    return VdistillError(
        f"--max-cost needs a price, and nobody says what {teacher} costs{like}",
        hint=f"dollars for a million tokens read and written: {PRICES}=0.15,0.60, or in vdistill.toml "
        f'[prices] "{model}" = [0.15, 0.60]; [0, 0] where it costs nothing',
    )


def price_table(table: Mapping[str, Any], where: str) -> dict[str, Prices]:
    """The `[prices]` of a configuration file. Raises VdistillError for what is not two prices."""
    found = {}
    for model, prices in table.items():
        try:
            found[model] = _two(prices)
        except (TypeError, ValueError) as error:
            raise VdistillError(
                f"{where}: the prices of {model!r} are {prices!r}",
                hint=f'dollars for a million tokens read and written: "{model}" = [0.15, 0.60]',
            ) from error
    return found


def _two(prices: Any) -> Prices:
    read, written = (float(price) for price in prices)
    if not (0 <= read < math.inf and 0 <= written < math.inf):
        raise ValueError("a price is negative or infinite")
    return read, written
