"""Every run of `bench` is kept, with its values per query: for the trend, and to compare later runs with it."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.bench.graded import Graded
from vdistill.errors import VdistillError
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.records import Per
from vdistill.workspace import Workspace, read_json, write_file

SCHEMA_VERSION = 1
FOLDER = "runs"
REMEDY = "give another run; `vdistill bench --history` lists them"


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its file holds it.

    judged_by: the teacher, or the name of the qrels.  adapter: hash of the student's weights, empty for none.
    judgments: how many the student was made from.  models: means by metric.
    values: of the student, by metric and by query or title; null where undefined.
    prompt: the version of the prompt that the judge got; empty where unknown.  passed: whether all gates were met.
    per: what was ranked, as in `HeldOutSet`.  only_judged: whether that was what had a grade alone.
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
    per: Per = "image"
    only_judged: bool = False

    def comparable(self, held_out: HeldOutSet) -> bool:
        """Whether the judge is the same, and what is ranked.

        A teacher that was asked by another prompt is another judge.
        """
        same_prompt = not self.prompt or not held_out.prompt or self.prompt == held_out.prompt
        same_candidates = (self.per, self.only_judged) == (held_out.per, held_out.only_judged)
        return self.judged_by == held_out.judged_by and same_prompt and same_candidates

    def paired(self, report: Graded, metric: str) -> Floats:
        """(c,) the report's student minus this one, for the queries that both have a value for.

        Raises VdistillError where there are none, or another judge gave them.
        """
        if self.per != report.held_out.per:
            raise VdistillError(
                f"run {self.id} ranked every {self.per}, this one every {report.held_out.per}",
                hint="compare with a run of the same `vdistill bench --per`",
            )
        if self.only_judged != report.held_out.only_judged:
            alone = "ranked only what has a grade"
            raise VdistillError(
                f"run {self.id} {alone}, this one all items"
                if self.only_judged
                else f"only this run {alone}, not {self.id}",
                hint="compare with a run that has --only-judged, or has not, alike",
            )
        if not self.comparable(report.held_out):
            prompt = "" if self.judged_by != report.held_out.judged_by else " with another prompt"
            raise VdistillError(
                f"run {self.id} was judged by {self.judged_by}{prompt}, this one by {report.held_out.judged_by}",
                hint="only runs with the same judge can be compared",
            )
        theirs = self.values.get(metric, {})
        pairs = ((value, theirs.get(key)) for key, value in values_of(report).get(metric, {}).items())
        found = np.array([ours - other for ours, other in pairs if ours is not None and other is not None])
        if len(found) < 2:
            raise VdistillError(f"run {self.id} has no {metric} of the same queries", hint=REMEDY)
        return found


def values_of(report: Graded) -> dict[str, dict[str, float | None]]:
    """The values of the student (or the backbone, where there is none) by metric, and by query or title."""
    held_out, found = report.held_out, {}
    for metric, values in report.values.get("student", report.values["backbone"]).items():
        names = held_out.titles if metric.startswith("literal_") else held_out.queries
        known = (float(value) if math.isfinite(value) else None for value in values)
        found[metric] = dict(zip(names, known, strict=True))
    return found


def keep(workspace: Workspace, report: Graded, adapter: str, judgments: int = 0, *, passed: bool) -> Run:
    """Write the run into the workspace's `reports/runs/`; `passed`: whether it met its gates."""
    now = datetime.now(timezone.utc)
    run = Run(
        id=f"{now:%Y%m%d-%H%M%S-%f}",
        created=now.isoformat(timespec="seconds"),
        judged_by=report.held_out.judged_by,
        queries=len(report.held_out.judged),
        items=len(report.held_out.items),
        adapter=adapter,
        judgments=judgments,
        models={model: dict(found) for model, found in report.models.items() if found},
        values=values_of(report),
        prompt=report.held_out.prompt,
        passed=passed,
        per=report.held_out.per,
        only_judged=report.held_out.only_judged,
    )
    document = {"schema_version": SCHEMA_VERSION, **asdict(run)}
    write_file(workspace.reports / FOLDER / f"{run.id}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    return run


def history(workspace: Workspace) -> list[Run]:
    """All runs, oldest first; files that cannot be read are skipped."""
    found = []
    for path in _paths(workspace):
        try:
            found.append(read(path))
        except VdistillError:
            continue
    return found


def pick(workspace: Workspace, name: str, held_out: HeldOutSet | None = None) -> Run:
    """The run `name`: a file, an id or its beginning, `last`, or `best` (by the student's nDCG@10).

    A run that failed one of its gates, that has no student, or whose judge is not that of `held_out` is never `last` or
    `best`. Raises VdistillError where there is none, with the close ids.
    """
    if Path(name).is_file():
        return read(Path(name))
    paths = _paths(workspace)
    if not paths:
        raise VdistillError("there is no earlier run to compare with", hint="run `vdistill bench` once, or give a file")
    newest_first = map(read, reversed(paths))  # a damaged one is an error: a gate must not silently take an older one
    if name in ("last", "best"):
        return _last_or_best(name, (run for run in newest_first if _counts(run, held_out)), held_out)
    runs = list(newest_first)[::-1]
    fitting = [run for run in runs if run.id.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    close = difflib.get_close_matches(name, [run.id for run in runs], n=3, cutoff=0.3) or [run.id for run in runs[-3:]]
    what = f"{len(fitting)} runs begin with" if fitting else "there is no run"
    raise VdistillError(f"{what} {name!r}", hint=f"last, best, or one of {', '.join(close)}")


def _last_or_best(name: str, runs: Iterator[Run], held_out: HeldOutSet | None) -> Run:
    """runs: those that count, newest first."""
    if name == "last":
        found = next(runs, None)
    else:
        found = max(list(runs)[::-1], key=lambda run: run.models["student"].get("ndcg@10", -1.0), default=None)
    if found is None:
        judged = f", and was judged by {held_out.judged_by}" if held_out else ""
        raise VdistillError(
            f"no earlier run has a student and met its gates{judged}",
            hint="run `vdistill bench` once without --no-worse-than, or name a run: `vdistill bench --history` lists "
            "them",
        )
    return found


def _counts(run: Run, held_out: HeldOutSet | None) -> bool:
    return run.passed and "student" in run.models and (held_out is None or run.comparable(held_out))


def _paths(workspace: Workspace) -> list[Path]:
    return sorted((workspace.reports / FOLDER).glob("*.json"))


def read(path: Path) -> Run:
    """A kept run. Raises VdistillError where the file is damaged or of a newer version."""
    facts = read_json(path, "the run", REMEDY)
    try:
        if facts.pop("schema_version") > SCHEMA_VERSION:
            raise VdistillError(f"{path} was made by a newer vdistill", hint="upgrade: pip install --upgrade vdistill")
        return Run(**facts)
    except (AttributeError, KeyError, TypeError) as error:
        raise VdistillError(f"{path} is not a run of bench: {error}", hint=REMEDY) from error


def trend(runs: Sequence[Run], metric: str = "ndcg@10") -> list[Mapping[str, Any]]:
    """One row per run: when, who judged, and what each model reached."""
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
