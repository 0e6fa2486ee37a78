"""What `label` is to do, in one frozen value; the command line takes its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vdistill.records import Ask

ScheduleName = Literal["adaptive", "banded", "knockout"]
GuideName = Literal["student", "backbone", "none"]

# What `--teacher` takes beside names of models. Those of `PATH_KINDS` may be followed by a path, which `vdistill.toml`
# reads relative to itself.
KINDS = ("metadata", "table:FILE", "rerank:MODEL", "openai:MODEL", "me")
PERSON = "me"  # a person, on the judge page: me, or me:NAME
PATH_KINDS = {"table": True, "metadata": False, "rerank": False}  # and whether it must be one


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What `label` is asked to do; None leaves the choice to it.

    none: whether a share of the calls offers "none of these".
    """

    catalog: str
    queries: str | None = None
    paraphrases: int | None = None
    budget: int | None = None
    max_cost: float | None = None
    images_per_call: int = 8
    ask: Ask = "best"
    schedule: ScheduleName = "adaptive"
    guide: GuideName = "none"
    backbone: str | None = None
    pool: int = 64
    concurrency: int = 8
    holdout: float = 0.2
    seed: int = 0
    none: bool = False
