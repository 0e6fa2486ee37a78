"""How strongly a student differs from its backbone: a factor on the scale of its adapter. Without torch.

At 0 its image tower is the backbone's, at 1 as it was trained. What it gains and what it forgets both grow with the
strength, but not alike.
Source: Wortsman et al. 2022 (WiSE-FT), arXiv 2109.01903, who mix the weights of whole models.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.distill.card import card
from vdistill.encoders.student import REMEDY, read_info, strength_of
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace, read_json, replacing_folder, write_file, writing

STRENGTHS = tuple(step / 10 for step in range(13))
_FEWEST = 10  # validation queries: fewer cannot tell strengths apart
_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Point:
    """A strength and how it validates.

    ndcg: nDCG@10 on the validation items of each query that was asked about them, those that train too: they are many
    more, and tell finer differences apart.  unseen: of each validation query.  literal: recall@1.
    lost: of titles' probability.
    """

    strength: float
    ndcg: list[float]
    unseen: list[float]
    literal: float | None
    lost: float | None

    @property
    def mean(self) -> float:
        """Of the nDCG over the queries."""
        return float(np.mean(self.ndcg))

    def figures(self) -> dict[str, float | None]:
        """The point as `student.json` has it."""
        return {
            "strength": self.strength,
            "ndcg@10": self.mean,
            "validation_ndcg@10": float(np.mean(self.unseen)),
            "validation_literal_recall@1": self.literal,
            "validation_lost": self.lost,
        }


def chosen(points: Sequence[Point], most_lost: float) -> float:
    """The strength that retains most among those that are as good as the best; 1 where validation is too small.

    As good is what is no more than one standard error below the best, that of the paired difference over the queries.
    Of those the highest literal recall decides, then the higher nDCG. Strengths that lost more than `most_lost` do not
    count, and 0 is no student.
    Source: the one-standard-error rule, Breiman et al. 1984, Classification and Regression Trees, section 3.4.3.
    """
    able = [one for one in points if one.strength > 0 and (one.lost is None or one.lost <= most_lost)]
    if not able or len(able[0].ndcg) < _FEWEST:
        return 1.0
    best = max(able, key=lambda one: one.mean)
    gaps = ((one, np.array(best.ndcg) - np.array(one.ndcg)) for one in able)
    alike = [one for one, gap in gaps if gap.mean() <= gap.std(ddof=1) / math.sqrt(len(gap))]
    return max(alike, key=lambda one: (one.literal or 0.0, one.mean)).strength


def change(workspace: Workspace, strength: float) -> float:
    """Publish the workspace's student at another strength; returns the strength that it had.

    The weights stay as they are, the scale in the adapter's configuration and the card change.
    Raises VdistillError where there is no student, or its adapter is weight-decomposed.
    """
    with workspace.lock("distill"):
        return _changed(workspace, strength)


def _changed(workspace: Workspace, strength: float) -> float:
    info = read_info(workspace)
    if info is None:
        raise VdistillError("there is no student yet", hint="run `vdistill distill` first")
    config = read_json(workspace.student / _CONFIG, "the student", REMEDY)
    if config.get("use_dora"):
        raise VdistillError(
            "the student's adapter is weight-decomposed: its strength cannot be changed",
            hint="train it again without --dora",
        )
    facts = {**info.facts, "strength": strength}
    with replacing_folder(workspace.student) as folder, writing(workspace.student):
        shutil.copytree(workspace.student, folder, dirs_exist_ok=True)
        configure(folder, facts)
        write_file(folder / "student.json", json.dumps(facts, indent=2) + "\n")
        write_file(folder / "README.md", card(facts))
    return strength_of(info.facts)


def configure(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the scale at the strength of `facts` into the adapter's configuration, which is all that PEFT reads."""
    path, settings = folder / _CONFIG, facts["settings"]
    alpha = 2 * settings["rank"] if settings["alpha"] is None else settings["alpha"]
    config = {**json.loads(path.read_text(encoding="utf-8")), "lora_alpha": alpha * strength_of(facts)}
    write_file(path, json.dumps(config, indent=2) + "\n")
