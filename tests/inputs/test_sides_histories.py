"""Whatever is done to a workspace and its files, nothing that was held out teaches: by text, by id, by content."""

import csv
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from command_line import vdistill
from vdistill.database import Database
from vdistill.distill.held_out import held_out_set
from vdistill.distill.sources import read
from vdistill.errors import VdistillError
from vdistill.inputs.sides import plain

WISHES = [f"a gift for aunt number {number}" for number in range(8)]
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "grey", "pink", "brown")


@dataclass
class World:
    """A folder with a catalog, a file of queries, and the workspace that a user fills with them."""

    home: Path
    rows: list[dict] = field(default_factory=lambda: [{"id": n, "query": text} for n, text in enumerate(WISHES)])
    groups: dict[str, int] = field(default_factory=dict)
    painted: int = 0

    @property
    def names(self):
        return sorted(path.name for path in (self.home / "catalog").glob("*.png"))

    def path(self, number):
        names = self.names
        return self.home / "catalog" / names[number % len(names)]

    def paint(self, path):
        """An image like no other."""
        self.painted += 1
        colour = COLOURS[self.painted % len(COLOURS)]
        Image.new("RGB", (4 + self.painted, 6), colour).save(path)

    def save(self):
        (self.home / "queries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in self.rows))
        rows = [{"file_name": name, "group": group} for name, group in self.groups.items() if name in self.names]
        (self.home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        with (self.home / "scores.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["query", "item", "score"])
            for place, row in enumerate(self.rows):
                lines.writerows([row["query"], name, (n * 7 + place) % 5] for n, name in enumerate(self.names))

    def run(self, *arguments):
        self.save()
        done = vdistill(*arguments, "--quiet", cwd=self.home)
        assert done.code in (0, 1), done.err
        assert "Traceback" not in done.err, done.err


# What a user may do. Numbers choose the row or the file, whatever their count.


def label(world, number, other):
    world.run("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.jsonl", "--budget", 30,
              "--images-per-call", 3, "--seed", number % 3, "--concurrency", 1, *_share(world))  # fmt: skip


def take_in_pairs(world, number, other):
    rows = [{"prompt": world.rows[(number + n) % len(world.rows)]["query"], "chosen": world.path(n).name,
             "rejected": world.path(other + n).name} for n in range(6)]  # fmt: skip
    rows = [row for row in rows if row["chosen"] != row["rejected"]]
    (world.home / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    world.run("label", "catalog", "--import", "pairs.jsonl", "--queries", "queries.jsonl", *_share(world))


def take_in_grades(world, number, other):
    lines = [f"{row['id']} 0 {name} {(n + number) % 3}" for row in world.rows for n, name in enumerate(world.names)]
    (world.home / "grades.txt").write_text("\n".join(lines))
    world.run("label", "catalog", "--import", "grades.txt", "--queries", "queries.jsonl", *_share(world))


def go_out_and_in(world, number, other):
    world.run("label", "--export", "all.jsonl")
    if (world.home / "all.jsonl").is_file():
        world.run("label", "catalog", "--import", "all.jsonl", *_share(world))


def settle_a_side(world, number, other):
    world.rows[number % len(world.rows)]["split"] = ("train", "heldout")[other % 2]


def name_a_persona(world, number, other):
    world.rows[number % len(world.rows)]["persona"] = f"person {other % 3}"


def respell_a_query(world, number, other):
    row = world.rows[number % len(world.rows)]
    row["query"] = row["query"].upper() if other % 2 else f" {row['query'].title()}  "


def add_a_query(world, number, other):
    world.rows.append(
        {"id": len(world.rows), "query": f"a wish of neighbour {number}", "persona": f"person {other % 3}"}
    )


def rename(world, number, other):
    world.path(number).rename(world.home / "catalog" / f"{other % 40}.png")


def copy(world, number, other):
    source, target = world.path(number), world.home / "catalog" / f"{other % 40}.png"
    if source != target:  # a file cannot be copied onto itself
        shutil.copy(source, target)


def swap(world, number, other):
    one, two = world.path(number), world.path(other)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def repaint(world, number, other):
    world.paint(world.path(number))


def add_an_image(world, number, other):
    world.paint(world.home / "catalog" / f"{other % 40}.png")


def group(world, number, other):
    world.groups[world.path(number).name] = other % 4


def ungroup(world, number, other):
    world.groups.pop(world.path(number).name, None)


STEPS = (label, take_in_pairs, take_in_grades, go_out_and_in, settle_a_side, name_a_persona, respell_a_query,
         add_a_query, rename, copy, swap, repaint, add_an_image, group, ungroup)  # fmt: skip
steps = st.tuples(st.sampled_from(STEPS), st.integers(0, 39), st.integers(0, 39))
histories = st.lists(st.lists(steps, max_size=6), min_size=1, max_size=3)


def _share(world):
    return () if (world.home / ".vdistill").is_dir() else ("--holdout", 0.4)


def check(world):
    """Nothing that `distill` would train with is held out, whoever judged it and whenever."""
    world.save()
    with Database.open(world.home / ".vdistill" / "vdistill.db") as database:
        train, held_out = database.judgments("train"), database.judgments("heldout")
        assert not {plain(one.query) for one in train} & {plain(one.query) for one in held_out}
        assert not {sha for one in train for sha in one.sha256} & {sha for one in held_out for sha in one.sha256}
        try:
            sources = read(database, lambda _: None)
        except VdistillError:
            return  # nothing teaches
        held_out = held_out_set(database, sources, lambda _: None)
        registered = {plain(query.text): query.split for query in database.queries()}
    taught = {item for one in sources.judgments for item in one.items}
    assert not taught & set(sources.sides.of("heldout"))
    assert {registered[plain(one.query)] for one in sources.judgments} == {"train"}
    if held_out is not None:
        assert not taught & set(held_out.items)
        assert not {sources.hashes[item] for item in taught} & {sources.hashes[item] for item in held_out.items}
        assert not {plain(one.query) for one in sources.judgments} & {plain(query) for query in held_out.queries}


def live(history):
    """Some edits, then labelling, as often as the history says; checked after each."""
    home = Path(tempfile.mkdtemp())
    try:
        (home / "catalog").mkdir()
        world = World(home)
        for number in range(10):
            world.paint(home / "catalog" / f"{number}.png")
        label(world, 0, 0)
        with Database.open(home / ".vdistill" / "vdistill.db") as database:
            assert {one.split for one in database.judgments()} == {"train", "heldout"}, "there is something to leak"
        for edits in history:
            label(world, 0, 0)
            for step, number, other in edits:
                step(world, number, other)
            label(world, len(edits), 0)
            check(world)
    finally:
        shutil.rmtree(home)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=2, deadline=None, suppress_health_check=QUIET)
@given(histories)
def test_no_history_lets_what_is_held_out_teach(history):
    live(history)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=QUIET)
@given(histories)
def test_none_of_many_histories_does(history):
    live(history)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_no_single_step_does(step):
    live([[(step, 1, 3), (step, 2, 5)]])
