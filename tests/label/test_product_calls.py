"""No call shows two images of one product, and where each product has one image nothing is asked differently."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import QUERIES, errors, vdistill, write_scores
from drawings import COLOURS, SHAPES, draw
from trainings import TRAIN
from vdistill.database import Database
from vdistill.distill.held_out import held_out_set
from vdistill.distill.sources import read
from vdistill.label.audit.questions import units
from vdistill.label.schedules import Narrowing, Plan, coverable, training
from vdistill.records import Answer, Judgment

ITEMS = [f"{i:03}" for i in range(120)]
SCHEDULES = ("adaptive", "guided", "banded", "knockout", "narrowing", "audit")


def groups_of(name, items, plan):
    """All calls of a schedule, answered at random."""
    rng = np.random.default_rng(plan.seed)
    queries = ["q0", "q1", "q2"]
    guides = {query: dict(zip(items, rng.random(len(items)).tolist(), strict=True)) for query in queries}
    if name == "audit":
        return [
            group for unit in units(queries, plan.distinct(items), 60, plan.seed) for group in unit.asked(scores=False)
        ]
    if name == "narrowing":
        schedule = Narrowing(queries, coverable(items, plan, "heldout"), plan)
    else:
        chosen = "adaptive" if name == "guided" else name
        schedule = training(chosen, queries, items, plan, {} if name in ("adaptive", "knockout") else guides)
    found, said = [], []
    while groups := schedule.next_round(said):
        found += groups
        for group in groups:
            answer = Answer(order=tuple(rng.permutation(len(group.items)).tolist()))
            said.append(Judgment(group.query, group.items, ("",) * len(group.items), "rank", answer, "t", "train"))
    return found


@pytest.mark.parametrize("name", SCHEDULES)
@given(products=st.integers(2, 60), skew=st.floats(1, 6), size=st.integers(2, 8), seed=st.integers(0, 9))
def test_no_call_shows_a_product_twice(name, products, skew, size, seed):
    rng = np.random.default_rng(seed)
    of = {item: str(int(products * rng.random() ** skew)) for item in ITEMS if rng.random() < 0.9}
    plan = Plan(9, size, 24, seed, queries=3, products=of)
    for group in groups_of(name, ITEMS, plan):
        shown = [of.get(item, item) for item in group.items]
        assert len(set(shown)) == len(shown), (name, shown)


@pytest.mark.parametrize("name", SCHEDULES)
def test_products_of_one_image_are_asked_about_as_images_are(name):
    """Answers are kept by what was shown: another plan would pay for them again."""
    for size in (2, 5, 8):
        plan = Plan(12, size, 24, 0, queries=3)
        named = Plan(12, size, 24, 0, queries=3, products={item: f"sku {item}" for item in ITEMS})
        assert groups_of(name, ITEMS, plan) == groups_of(name, ITEMS, named)


@pytest.fixture
def home(tmp_path):
    """A shop of 48 products with two images each."""
    (tmp_path / "catalog").mkdir()
    rows = []
    for number in range(96):
        colour, shape = COLOURS[number // 24], number // 4 % 6
        name = f"{colour}_{SHAPES[shape]}_{number:02}.png"
        draw(colour, shape, 40 + number % 4, 44 + number // 8).save(tmp_path / "catalog" / name)
        rows.append({"file_name": name, "title": f"{colour} {SHAPES[shape]}", "sku": f"p{number // 2}"})
    (tmp_path / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write_scores(tmp_path, [row["file_name"] for row in rows])
    return tmp_path


LABEL = ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4,
         "--pool", 16, "--holdout", 0.4]  # fmt: skip


def judgments(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return database.judgments()


def write_rows(home, change):
    path = home / "catalog" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(change(number, row))}\n" for number, row in enumerate(rows)))


def test_label_compares_products(home):
    done = vdistill(*LABEL, "--budget", 400, "--json", cwd=home)
    assert done.code == 0, done.err
    sku = {json.loads(line)["file_name"]: json.loads(line)["sku"]
           for line in (home / "catalog" / "metadata.jsonl").read_text().splitlines()}  # fmt: skip
    held_out = set()
    for one in judgments(home):
        assert len({sku[item] for item in one.items}) == len(one.items)
        if one.split == "heldout":
            held_out.update(one.items)
    assert len({sku[item] for item in held_out}) == len(held_out), "one image stands for its product"
    again = vdistill(*LABEL, "--budget", 400, "--json", cwd=home)
    assert (again.json["calls"], again.json["reused"]) == (0, done.json["calls"])


@pytest.mark.slow
def test_distill_and_bench_measure_products(home, clip_folder):
    """An index in bf16, embedded in int8, lets near ties fall otherwise."""
    assert vdistill(*LABEL, "--budget", 400, "--backbone", clip_folder, cwd=home).code == 0
    trained = vdistill(*TRAIN, "--keep-anyway", cwd=home)
    assert trained.code == 0, trained.err
    found, images = (vdistill("bench", "--json", *how, cwd=home) for how in ([], ["--per", "image"]))
    assert (found.json["per"], images.json["per"]) == ("product", "image")
    assert 2 * found.json["products"] == found.json["items"] == images.json["products"] == images.json["items"]
    for model, figures in trained.json["heldout"].items():
        assert found.json["models"][model]["ndcg@10"] == pytest.approx(figures["ndcg@10"], abs=0.03)
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        held_out = held_out_set(database, read(database, lambda _: None), lambda _: None)
    assert (held_out.per, len(held_out.products.names)) == ("product", found.json["products"])
    error, hint = errors(vdistill("bench", "--no-worse-than", images.json["run"], cwd=home))
    assert "ranked every image, this one every product" in error
    assert "--per" in hint
    table = vdistill("bench", cwd=home).out
    assert f"{found.json['products']} products ({found.json['items']} images)" in table
    assert vdistill("bench", "--no-worse-than", "last", "--report", "r.html", "--per", "image", cwd=home).code == 0


def test_grades_of_products_are_imported_for_their_images(home):
    lines = [f"{text.replace(' ', '_')} 0 p{number} 1" for number, text in enumerate(QUERIES)]
    rows = [{"id": text.replace(" ", "_"), "query": text} for text in QUERIES]
    (home / "q.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (home / "grades.qrels").write_text("\n".join([*lines, "something_red 0 p999 1"]))
    done = vdistill("label", "catalog", "--import", "grades.qrels", "--queries", "q.jsonl", "--json", cwd=home)
    assert done.code == 0, done.err
    assert "1 items that are not in the catalog" in done.err
    chosen = {one.items[one.answer.best] for one in judgments(home)}
    assert len(chosen) > 10
    assert {name.split("_")[2][:2] for name in chosen} <= {f"{number:02}" for number in range(48)}


# Bad input


@pytest.mark.slow
def test_products_that_were_judged_on_both_sides_are_named_by_every_command(home, clip_folder):
    write_rows(home, lambda number, row: {**row, "sku": None})
    assert vdistill(*LABEL, "--budget", 200, "--backbone", clip_folder, cwd=home).code == 0
    write_rows(home, lambda number, row: {**row, "sku": f"p{number // 4}"})
    line = "items are used for neither training nor testing, e.g."
    for command in ([*LABEL, "--budget", 200], [*TRAIN, "--epochs", 1, "--keep-anyway"], ["bench"]):
        done = vdistill(*command, cwd=home)
        assert done.code == 0, done.err
        assert sum(line in said for said in done.err.splitlines()) == 1, done.err


def test_an_image_in_two_products_is_named(home):
    names = sorted(path.name for path in (home / "catalog").glob("*.png"))
    (home / "catalog" / names[-1]).write_bytes((home / "catalog" / names[0]).read_bytes())
    done = vdistill(*LABEL, "--budget", 200, "--dry-run", cwd=home)
    assert done.code == 0, done.err
    assert "1 images are in several groups, as equal files: each of those stays a product of its own" in done.err
    write_rows(home, lambda number, row: {**row, "group": "all" if number < 4 else None})
    again = vdistill(*LABEL, "--budget", 200, "--dry-run", cwd=home)
    assert "1 products have several names, because rows have two of these columns" in again.err
    assert "e.g. group=all, sku=p0, sku=p1" in again.err


def test_a_product_and_its_variants_are_one(home):
    """A number of the product and one of each variant: the product decides, and it is said, as it may be too broad."""
    write_rows(home, lambda number, row: {**row, "item_id": number // 8})
    done = vdistill(*LABEL, "--budget", 200, "--dry-run", cwd=home)
    assert "12 products have several names" in done.err
    assert "item_id=0, sku=p0, sku=p1" in done.err


@pytest.mark.parametrize(("value", "named"), [(None, 0), ("", 0), ([1, 2], 1), ({"a": 1}, 1), (12.0, 0), (True, 0)])
def test_a_group_of_any_value_is_read_or_named(home, value, named):
    write_rows(home, lambda number, row: {**row, "sku": value if number < 3 else 12 if number < 5 else f"p{number}"})
    done = vdistill(*LABEL, "--budget", 200, "--dry-run", cwd=home)
    assert done.code == 0, done.err
    assert ("3 images have a list as their 'sku', which names no product" in done.err) == named
