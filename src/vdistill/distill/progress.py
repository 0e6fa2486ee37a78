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
    """Who is told: `advance` after each step, `epoch` the figures of each epoch, `say` what a person should know."""

    advance: Callable[[Progress], None]
    epoch: Callable[[dict[str, float]], None] = field(default=lambda _: None)
    say: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True)
class Trained:
    """What a training did.

    steps: taken since the last restart.  history: the figures of the epochs.  kept: the epoch with the weights that
    were kept, 0 where none was as good as the backbone.  restarts: what was lost, after which epoch, at which rate.
    backbone, student: nDCG@10 of each validation query, before training and of the last epoch kept before the refit.
    """

    steps: int
    history: list[dict[str, float]]
    kept: int
    restarts: list[dict[str, float]]
    backbone: list[float]
    student: list[float]

    @property
    def validation(self) -> dict[str, float]:
        """The means of `backbone` and `student`; empty where no queries validate."""
        sides = {"backbone": self.backbone, "student": self.student}
        return {side: sum(ndcg) / len(ndcg) for side, ndcg in sides.items() if ndcg}
