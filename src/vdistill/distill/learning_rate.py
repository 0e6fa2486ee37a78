"""The learning rate that suits the model: short trainings at several rates, compared on the validation queries.

Successive halving: all rates train for a few steps, the best of them again for more, each with a schedule of its own
and from the same start. What is finished is on disk, so an interrupted search goes on where it was.
Source: Jamieson & Talwalkar 2016, arXiv 1502.07943.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vdistill.distill.batches import step_count
from vdistill.distill.loop import Loop, NotFinite, Training
from vdistill.distill.memory import memory_errors
from vdistill.distill.retention import MOST_LOST
from vdistill.workspace import write_file, writing

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
CAUTIOUS = 1e-4  # where validation cannot choose
SHARE = 0.3  # of the steps of the whole training, which the search may add
ROUNDS = ((6, 1), (2, 3))  # how many rates train, and for how long relative to the first round


@dataclass(frozen=True, slots=True)
class Trial:
    """A short training: its rate, its steps, its validation nDCG@10 for each query, and what it lost of titles."""

    lr: float
    steps: int
    ndcg: list[float]
    lost: float | None

    @property
    def mean(self) -> float:
        """Over the queries; below all others where too much was lost, or the loss was no number."""
        lost = self.lost is not None and not self.lost <= MOST_LOST
        return -math.inf if lost or not self.ndcg else float(np.mean(self.ndcg))


@dataclass(frozen=True, slots=True)
class Search:
    """What was found. lr: the rate to train with.  trials: all short trainings, in order; empty where none was made."""

    lr: float
    trials: list[Trial]

    def curve(self) -> list[dict[str, float | None]]:
        """One row for each trial, as `student.json` has it."""
        return [
            {"lr": one.lr, "steps": one.steps, "validation_ndcg@10": float(np.mean(one.ndcg)), "lost": one.lost}
            for one in self.trials
            if one.ndcg
        ]


@dataclass(frozen=True, slots=True)
class Finished:
    """The trials that are on disk: a JSON file that belongs to one training."""

    path: Path
    key: str

    def read(self) -> list[Trial]:
        """Those of this training, in order."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(self.path.read_text(encoding="utf-8"))
            if known["key"] == self.key:
                return [Trial(**one) for one in known["trials"]]
        return []

    def write(self, trials: Sequence[Trial]) -> None:
        """Replace the file."""
        with writing(self.path):
            write_file(self.path, json.dumps({"key": self.key, "trials": [asdict(one) for one in trials]}))


def search(training: Training, finished: Finished) -> Search:
    """The rate among `RATES` that validates best, for at most `SHARE` more steps than the training takes, or a dozen.

    Without validation queries it is `CAUTIOUS`; also where no rate was better than the backbone, which is a candidate
    like the others. The model has its weights of before.
    """
    say, validation = training.callbacks.say, training.data.validation
    if validation is None or not validation.backbone:
        say(f"there is too little validation to choose a learning rate: {CAUTIOUS:g} is taken (--lr X: another)")
        return Search(CAUTIOUS, [])
    trials = _trials(training, finished)
    last = [one for one in trials if one.steps == trials[-1].steps]
    best = max(last, key=lambda one: one.mean)
    backbone = float(np.mean(validation.backbone))
    if best.mean <= backbone:
        say(f"no learning rate was better than the backbone in short trainings: {CAUTIOUS:g} is taken")
        return Search(CAUTIOUS, trials)
    say(f"learning rate {best.lr:g}: validation nDCG@10 {best.mean:.3f} after {best.steps} steps, from {backbone:.3f}")
    return Search(best.lr, trials)


def _trials(training: Training, finished: Finished) -> list[Trial]:
    known, processes = finished.read() if training.processes.leads else [], training.processes
    loop = Loop(replace(training, settings=replace(training.settings, lr=CAUTIOUS)))
    done: list[Trial] = []
    rates: Sequence[float] = RATES
    unit = max(_steps(training) * SHARE / sum(count * length for count, length in ROUNDS), 1)
    for count, length in ROUNDS:
        tried: list[Trial] = []
        for lr in rates[:count]:
            place = len(done) + len(tried)
            tried.append(_trial(loop, lr, int(unit * length), known[place] if place < len(known) else None))
            if processes.leads:
                finished.write([*done, *tried])
        done += tried
        rates = [one.lr for one in sorted(tried, key=lambda one: -one.mean)]
    loop.begin()
    return done


def _steps(training: Training) -> int:
    """Of the whole training, if it does not stop early."""
    settings, everything = training.settings, training.data.everything
    first = step_count(training.data.calls, settings.batch_images) * settings.epochs
    if everything is None:
        return first
    return first + step_count(everything.calls, settings.batch_images) * math.ceil(settings.refit * settings.epochs)


def _trial(loop: Loop, lr: float, steps: int, known: Trial | None) -> Trial:
    """A short training, unless its result is known to the first process."""
    agreed, processes = loop.processes.agreed, loop.processes
    if agreed([float(known is not None)])[0]:
        lost, *ndcg = agreed([math.nan if known.lost is None else known.lost, *known.ndcg]) if known else agreed([])
        return Trial(lr, steps, ndcg, None if math.isnan(lost) else lost)
    scores = None
    with memory_errors(loop.settings), contextlib.suppress(NotFinite):
        scores = loop.attempt(lr, steps)
    processes.wait()
    return Trial(lr, steps, scores.ndcg, scores.lost) if scores else Trial(lr, steps, [], None)
