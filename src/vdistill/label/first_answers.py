"""The first few answers of a model that thinks, from which a plan within `max_cost` learns what a call costs."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

from vdistill.database import Database
from vdistill.label.asking import Asker, Tally
from vdistill.label.habits import habits_of, setting_of
from vdistill.label.questions import Asked
from vdistill.label.registry import NewSides
from vdistill.label.run import LabelRun, remember_split
from vdistill.label.schedules import training
from vdistill.label.stage import Stage
from vdistill.workspace import Workspace

FIRST = 8  # answers that tell how much a model thinks


def find_out(workspace: Workspace, stage: Stage, run: LabelRun) -> Tally:
    """Ask the first questions of a plan, keep the answers like any others, and remember what they took."""
    teacher = run.teacher
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, stage.settings)
        stage.register(database)
        sides = NewSides(stage.sides)
        asker = Asker(teacher, database, run.purse, stage.settings.concurrency, lambda _: None, sides)
        queries, items = stage.queries_of("train"), stage.items_of("train")
        groups = training("adaptive", queries, items, stage.plan, {}).next_round([]) if queries else []
        asker.ask([Asked(stage.question(group), "train", group.pool) for group in islice(groups, FIRST)])
        habits = habits_of(database, teacher)
        if habits is not None:
            database.remember(setting_of(teacher), asdict(habits))
            run.say(
                f"{teacher.name} thought {habits.thought_tokens:,.0f} tokens an answer in {habits.answers} answers: "
                "planned by that"
            )
    return asker.tally
