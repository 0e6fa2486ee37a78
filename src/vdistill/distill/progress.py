"""What a training tells those who watch it, and what it leaves to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """After a step: how far, the mean losses of the epoch so far in nats, pictures a second, the last validation."""

    step: int
    steps: int
    epoch: int
    loss: float
    retention: float
    images_per_second: float
    validation: float | None

    def describe(self) -> str:
        """One line for a progress bar."""
        validated = "" if self.validation is None else f"  validation nDCG@10 {self.validation:.3f}"
        return f"epoch {self.epoch}  loss {self.loss:.3f}{validated}  {self.images_per_second:.0f} images/s"


@dataclass(frozen=True)
class Watch:
    """Who is told: `advance` after each step, `epoch` the figures of each epoch."""

    advance: Callable[[Progress], None]
    epoch: Callable[[dict[str, float]], None] = field(default=lambda _: None)


@dataclass(frozen=True)
class Trained:
    """What a training did: its steps, and the figures of its epochs."""

    steps: int
    history: list[dict[str, float]]
