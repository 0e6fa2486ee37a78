"""Every run of `bench` is kept, with its values per query: for the trend, and to hold a later run against it."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from vdistill.arrays import Floats
from vdistill.bench.graded import Graded
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace, read_json, write_file

if TYPE_CHECKING:
    from vdistill.evaluation.test_set import HeldOutSet

SCHEMA_VERSION = 1
FOLDER = "runs"
REMEDY = "give another run; `vdistill bench --history` lists them"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. models: means by metric.  values: of the student, by metric and query or title; null where undefined.

    judged_by: the teacher, or the name of the qrels.  adapter: hash of the student's weights, empty for none.
    judgments: how many the student was made from.  prompt: the words that the judge was asked by; empty where unknown.
    passed: whether all its gates were met.
    """

    id: str
    created: str
    judged_by: str
    queries: int
    items: int
    adapter: str
    judgments: int
    models: dict[str, dict[str, float]]
    values: dict[str, dict[str, float | None]]
    prompt: str = ""
    passed: bool = True

    def comparable(self, held_out: HeldOutSet) -> bool:
        """Whether the same judge gave the verdicts. A teacher that was asked in other words is another judge."""
        same_words = not self.prompt or not held_out.prompt or self.prompt == held_out.prompt
        return self.judged_by == held_out.judged_by and same_words

    @property
    def judge(self) -> str:
        """The judge, for messages."""
        return f"{self.judged_by}#{self.prompt}" if self.prompt else self.judged_by

    def paired(self, report: Graded, metric: str) -> Floats:
        """(c,) the report's student minus this one, for the queries that both have a value for.

        Raises VdistillError where there are none, or another judge gave them.
        """
        if not self.comparable(report.held_out):
            words = "" if self.judged_by != report.held_out.judged_by else " in other words"
            raise VdistillError(
                f"run {self.id} was judged by {self.judged_by}{words}, this one by {report.held_out.judged_by}",
                hint="only runs with the same judge can be held against each other",
            )
        ours, theirs = values_of(report).get(metric, {}), self.values.get(metric, {})
        pairs = [(ours[key], theirs[key]) for key in ours if theirs.get(key) is not None and ours[key] is not None]
        if len(pairs) < 2:
            raise VdistillError(f"run {self.id} has no {metric} of the same queries", hint=REMEDY)
        return np.array([ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None])


def values_of(report: Graded) -> dict[str, dict[str, float | None]]:
    """The values of the student (or the backbone, where there is none) by metric and query, or title."""
    model = "student" if "student" in report.values else "backbone"
    held_out, found = report.held_out, {}
    for metric, values in report.values[model].items():
        names = held_out.titles if metric.startswith("literal_") else held_out.queries
        found[metric] = {
            name: float(value) if math.isfinite(value) else None for name, value in zip(names, values, strict=True)
        }
    return found


def keep(workspace: Workspace, report: Graded, adapter: str, judgments: int = 0, *, passed: bool) -> Run:
    """Write the run into the workspace's `reports/runs/`; `passed`: whether it met its gates."""
    now = datetime.now(timezone.utc)
    run = Run(
        id=f"{now:%Y%m%d-%H%M%S-%f}",
        created=now.isoformat(timespec="seconds"),
        judged_by=report.held_out.judged_by,
        queries=len(report.held_out.verdicts),
        items=len(report.held_out.items),
        adapter=adapter,
        judgments=judgments,
        models={model: dict(found) for model, found in report.models.items() if found},
        values=values_of(report),
        prompt=report.held_out.prompt,
        passed=passed,
    )
    document = {"schema_version": SCHEMA_VERSION, **asdict(run)}
    write_file(workspace.reports / FOLDER / f"{run.id}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    return run


def history(workspace: Workspace) -> list[Run]:
    """All runs, oldest first; what cannot be read is passed over."""
    found = []
    for path in sorted((workspace.reports / FOLDER).glob("*.json")):
        try:
            found.append(read(path))
        except VdistillError:
            continue
    return found


def pick(workspace: Workspace, name: str, held_out: HeldOutSet | None = None) -> Run:
    """The run `name`: a file, an id or its beginning, `last`, or `best` (by the student's nDCG@10).

    Of runs that failed a gate of theirs, that have no student, or that another judge graded than the one of `heldout`,
    none is `last` or `best`. Raises VdistillError where there is none, with the close ids.
    """
    if Path(name).is_file():
        return read(Path(name))
    paths = sorted((workspace.reports / FOLDER).glob("*.json"))
    if not paths:
        raise VdistillError("there is no earlier run to compare with", hint="run `vdistill bench` once, or give a file")
    if name == "last":
        return _last(paths, held_out)
    runs = [read(path) for path in paths]
    if name == "best":
        fitting = [run for run in runs if _counts(run, held_out)]
        return max(fitting, key=lambda run: run.models["student"].get("ndcg@10", -1.0)) if fitting else _none(held_out)
    fitting = [run for run in runs if run.id.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    close = difflib.get_close_matches(name, [run.id for run in runs], n=3, cutoff=0.3) or [run.id for run in runs[-3:]]
    what = f"{len(fitting)} runs begin with" if fitting else "there is no run"
    raise VdistillError(f"{what} {name!r}", hint=f"last, best, or one of {', '.join(close)}")


def _last(paths: Sequence[Path], held_out: HeldOutSet | None) -> Run:
    for path in reversed(paths):
        run = read(path)  # a damaged one is an error: a gate must not silently take an older one
        if _counts(run, held_out):
            return run
    return _none(held_out)


def _counts(run: Run, held_out: HeldOutSet | None) -> bool:
    return run.passed and "student" in run.models and (held_out is None or run.comparable(held_out))


def _none(held_out: HeldOutSet | None) -> NoReturn:
    judged = f", and was judged by {held_out.judged_by}" if held_out else ""
    raise VdistillError(
        f"no earlier run has a student and met its gates{judged}",
        hint="run `vdistill bench` once without --no-worse-than, or name a run: `vdistill bench --history` lists them",
    )


def read(path: Path) -> Run:
    """A kept run. Raises VdistillError where the file is damaged or of a newer version."""
    facts = read_json(path, "the run", REMEDY)
    try:
        if facts.pop("schema_version") > SCHEMA_VERSION:
            raise VdistillError(f"{path} was made by a newer vdistill", hint="upgrade: pip install --upgrade vdistill")
        return Run(**facts)
    except (AttributeError, KeyError, TypeError) as error:
        raise VdistillError(f"{path} is no run of bench: {error}", hint=REMEDY) from error


def trend(runs: Sequence[Run], metric: str = "ndcg@10") -> list[Mapping[str, Any]]:
    """A row a run: when, who judged, and what each model reached."""
    return [
        {
            "id": run.id,
            "created": run.created,
            "judged_by": run.judged_by,
            "queries": run.queries,
            "adapter": run.adapter[:8],
            "passed": run.passed,
            **{model: found.get(metric) for model, found in run.models.items()},
        }
        for run in runs
    ]
