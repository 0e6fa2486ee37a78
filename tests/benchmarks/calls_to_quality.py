"""How good a student a teacher call buys: schedules judged by the students that they make, on the gift shop.

    sh examples/gift_shop/demo.sh                          makes the shop and its backbone, where there is none yet
    python tests/benchmarks/calls_to_quality.py            all: hours; each run is kept, and none is made twice
    python tests/benchmarks/calls_to_quality.py --seeds 0 --answers soft --calls 1000 4000
    python tests/benchmarks/calls_to_quality.py --table    the table of what was run so far

The teacher is the table of simulated shoppers: soft answers are its probabilities, hard ones the image it likes best.
Held-out queries × held-out items, by the shop's qrels. All calls go to training queries. The banded cycles show five
images, bands of the backbone's scores first, then twice of the student's that was trained so far; with hard answers
they are ranked, as in arXiv 2510.12014. `cycles` is the default schedule in three runs of `label` with a `distill`
after each, so that the student guides the second and the third; `ranked` is the default schedule where the images are
ranked, as `label` lets a teacher do that gives no probabilities.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import made_shop
import numpy as np
from baseline_schedules import BASELINES, with_baseline
from rich.console import Console
from rich.table import Table

from vdistill.arrays import Floats
from vdistill.distill.job import Where
from vdistill.distill.run import distill
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import TrainingImages, WholeTower, embed
from vdistill.encoders.student import open_student
from vdistill.evaluation.grading import evaluate, means
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.inputs import queries as query_files
from vdistill.inputs.hashes import Hashes
from vdistill.label.prepare import read_inputs, sides_of
from vdistill.label.purse import Purse
from vdistill.label.run import LabelRun, label
from vdistill.label.settings import LabelSettings, ScheduleName
from vdistill.label.teachers.table import TableTeacher
from vdistill.records import Answer, Failure, Item, Question
from vdistill.workspace import Workspace, create

SCHEDULES = ("adaptive", "ranked", "cycles", "random", "narrow", "knockout", "banded")
METRICS = ("ndcg@10", "recall@10", "mpr", "literal_recall@10")
CYCLES, CYCLE_EPOCHS, LR = 3, 10, 0.003


class Shoppers(TableTeacher):
    """The simulated shoppers, who may say how sure they are, or not."""

    def __init__(self, path: Path, *, hard: bool) -> None:
        super().__init__(path)
        self._hard = hard

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        answers = super().ask(questions)
        return [_hard(answer) if self._hard and isinstance(answer, Answer) else answer for answer in answers]


def _hard(answer: Answer) -> Answer:
    chances = answer.probabilities
    if chances is None:
        return answer
    return Answer(tuple(float(position == int(np.argmax(chances))) for position in range(len(chances))))


def student_of(
    shop: Path,
    schedule: str,
    calls: int,
    answers: str,
    teaching: DistillSettings,
    judge: Callable[[HeldOutSet, Floats, Floats, Floats], dict[str, Any]] = lambda *known: means(evaluate(*known)),
) -> dict[str, Any]:
    """Label, distill, and judge the student."""
    seed = teaching.seed
    with tempfile.TemporaryDirectory() as name:
        workspace = create(Path(name) / ".vdistill")
        queries = Path(name) / "queries.jsonl"
        known = [one for one in query_files.load(shop / "queries.jsonl", 0.2) if one.answered]
        train = [{"id": q.id, "query": q.text, "split": "train"} for q in known if q.split == "train"]
        queries.write_text("".join(json.dumps(row) + "\n" for row in train))
        settings = LabelSettings(
            catalog=str(shop / "catalog"),
            queries=str(queries),
            budget=calls,
            backbone=str(shop / "backbone"),
            schedule=_option(schedule),
            ask="rank" if schedule == "ranked" else "best",
            seed=seed,
        )
        asked = 0
        for number, cycle in enumerate(_cycles(settings, answers, schedule)):
            if number:
                _distill(workspace, shop, replace(teaching, epochs=min(CYCLE_EPOCHS, teaching.epochs)))
            asked += _label(workspace, cycle, shop, schedule, hard=answers == "hard")
        _distill(workspace, shop, teaching)
        return {"asked": asked, **_judge(workspace, shop, judge)}


def _option(schedule: str) -> ScheduleName:
    if schedule in BASELINES:
        return "knockout"  # all items may be shown
    return "adaptive" if schedule in ("cycles", "ranked") else schedule  # type: ignore[return-value]


def _cycles(settings: LabelSettings, answers: str, name: str) -> Iterator[LabelSettings]:
    budget = (settings.budget or 0) // CYCLES
    if name not in ("banded", "cycles"):
        yield settings
        return
    for number in range(CYCLES):
        again = replace(settings, budget=budget)
        if name == "cycles":
            yield replace(again, guide="student" if number else "none")
            continue
        yield replace(
            again,
            images_per_call=5,
            ask="rank" if answers == "hard" else "best",
            guide="student" if number else "backbone",
        )


def _label(workspace: Workspace, settings: LabelSettings, shop: Path, schedule: str, *, hard: bool) -> int:
    def opened(_: Sequence[Item]) -> Shoppers:
        return Shoppers(shop / "shoppers.parquet", hard=hard)

    inputs = read_inputs(settings, workspace, opened, lambda _: None)
    stage, teacher = inputs.stage(settings), inputs.teacher
    if schedule in BASELINES:
        stage = with_baseline(stage, schedule)
    return label(workspace, stage, LabelRun(teacher, Purse(settings.budget), lambda _: None)).calls


def _distill(workspace: Workspace, shop: Path, settings: DistillSettings) -> None:
    where = Where(str(shop / "backbone"), "auto", "auto")
    distill(workspace, where, settings, fresh=True, say=lambda _: None, advance=lambda _: None)


def _judge(workspace: Workspace, shop: Path, judge: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    from vdistill.inputs import catalog

    items = catalog.scan(shop / "catalog").items
    sides = sides_of(workspace, 0.2)
    known = [one for one in query_files.load(shop / "queries.jsonl", sides) if one.answered]
    with Hashes.open(workspace.cache) as hashes:
        split = sides.of_items(items, hashes.of(items)).split
    held_out = from_qrels(read_qrels(shop / "qrels.txt"), "qrels", known, Candidates(items, split))
    encoder = open_student(workspace)
    files = {item.id: item.file for item in items}
    images = TrainingImages([files[key] for key in held_out.items], encoder.preprocessing)
    images = embed(WholeTower(encoder, images)).cpu().numpy()
    texts, titles = encoder.encode_texts(held_out.queries), encoder.encode_texts(held_out.titles)
    return judge(held_out, images, texts, titles)


def show(rows: Sequence[dict[str, object]]) -> None:
    """Means over the seeds, with their standard deviation where there are several."""
    table = Table(title="students by schedule, answers and teacher calls", title_justify="left")
    for column in ("answers", "schedule", "calls", "seeds", *METRICS):
        table.add_column(column, justify="left" if column in ("answers", "schedule") else "right")
    groups: dict[tuple[str, str, int], list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault((str(row["answers"]), str(row["schedule"]), int(str(row["calls"]))), []).append(row)
    for (answers, schedule, calls), found in sorted(groups.items(), key=lambda one: (one[0][0], one[0][2], one[0][1])):
        cells = []
        for metric in METRICS:
            values = np.array([float(str(row[metric])) for row in found])
            spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.3f}{spread}")
        table.add_row(answers, schedule, f"{calls:,}", str(len(found)), *cells)
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shop", type=Path, default=made_shop.SHOP)
    parser.add_argument("--out", type=Path, default=Path("calls_to_quality.jsonl"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--answers", nargs="*", default=["soft", "hard"])
    parser.add_argument("--calls", type=int, nargs="*", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--schedules", nargs="*", default=list(SCHEDULES))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        made_shop.require(options.shop, "shoppers.parquet", "qrels.txt")
        with tempfile.TemporaryDirectory() as folder:
            run(options.shop, Path(folder) / "rows.jsonl", [(0, "soft", 60, "adaptive", 1)])
        return
    wanted = product(options.seeds, options.answers, options.calls, options.schedules, [options.epochs])
    run(options.shop, options.out, [] if options.table else list(wanted))


def run(shop: Path, out: Path, wanted: Sequence[tuple[int, str, int, str, int]]) -> None:
    """Make the runs that `out` does not have yet, and show all."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    names = ("seed", "answers", "calls", "schedule", "epochs")
    done = {tuple(row[name] for name in names) for row in rows}
    for one in wanted:
        if one in done:
            continue
        seed, answers, calls, schedule, epochs = one
        found = student_of(shop, schedule, calls, answers, DistillSettings(lr=LR, seed=seed, epochs=epochs))
        rows.append({**dict(zip(names, one, strict=True)), **found})
        with out.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(*one, *(f"{metric} {found[metric]:.3f}" for metric in METRICS), flush=True)
    show(rows)


if __name__ == "__main__":
    main()
