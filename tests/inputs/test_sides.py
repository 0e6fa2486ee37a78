"""The held-out split has one owner: what was judged keeps its side, and what is the same is on one side."""

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import QUERIES, errors, sides_of, vdistill, write_scores
from drawings import draw
from vdistill.database import Database
from vdistill.database.migrations import MIGRATIONS
from vdistill.distill.held_out import held_out_set
from vdistill.distill.sources import read
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.near_duplicates import across, sketch
from vdistill.inputs.sides import Sides
from vdistill.records import Item

LABEL = ["label", "catalog", "--teacher", "table:scores.csv", "--images-per-call", 4, "--budget", 300]


@pytest.fixture
def home(tmp_path, catalog):
    write_scores(tmp_path, names(tmp_path))
    return tmp_path


def names(home):
    return sorted(path.name for path in (home / "catalog").glob("*.png"))


def write_queries(home, split=lambda number: None, **columns):
    rows = []
    for number, text in enumerate(QUERIES):
        row = {"id": f"q{number}", "query": text, "split": split(number)}
        rows.append({**row, **{name: of(number) for name, of in columns.items()}})
    (home / "queries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def label(home, *more, queries="queries.txt"):
    done = vdistill(*LABEL, "--queries", queries, *more, "--json", cwd=home)
    assert done.code == 0, done.err
    return done


def database(home):
    return Database.open(home / ".vdistill" / "vdistill.db")


def taught(home):
    """What `distill` would train with and examine by, and what it says."""
    said = []
    with database(home) as db:
        sources = read(db, said.append)
        return sources, held_out_set(db, sources, said.append), said


def check_no_leak(home):
    """By text, by id and by content, nothing that teaches examines."""
    sources, held_out, said = taught(home)
    queries = {judgment.query.casefold() for judgment in sources.judgments}
    items = {item for judgment in sources.judgments for item in judgment.items}
    contents = {content for judgment in sources.judgments for content in judgment.sha256}
    if held_out is not None:
        assert not queries & {query.casefold() for query in held_out.queries}
        assert not items & set(held_out.items)
        assert not contents & {sources.hashes[item] for item in held_out.items}
    return sources, held_out, said


# Queries


def test_a_query_keeps_its_side_when_the_file_changes_its_split(home):
    write_queries(home, lambda number: "heldout" if number < 6 else "train")
    label(home, queries="queries.jsonl")
    write_queries(home, lambda number: "heldout" if number >= 18 else "train")
    again = label(home, "--seed", 1, queries="queries.jsonl")
    assert "12 queries keep the side on which they were first judged" in again.err
    assert repr(QUERIES[0]) in again.err
    with database(home) as db:
        assert {judgment.query for judgment in db.judgments("heldout")} == set(QUERIES[:6])
        assert not {judgment.query for judgment in db.judgments("train")} & set(QUERIES[:6])
    check_no_leak(home)


def test_a_query_keeps_its_side_when_its_row_gets_a_persona(home):
    write_queries(home)
    label(home, queries="queries.jsonl")
    with database(home) as db:
        before = {query.text: query.split for query in db.queries()}
    write_queries(home, persona=lambda number: f"person {number}")
    label(home, "--seed", 1, queries="queries.jsonl")
    with database(home) as db:
        assert {query.text: query.split for query in db.queries()} == before
        for judgment in db.judgments():
            assert judgment.split == before[judgment.query]


def test_a_new_query_of_a_known_persona_joins_its_side(home):
    write_queries(home, lambda number: "heldout" if number % 2 else "train", persona=lambda number: f"p{number % 2}")
    label(home, queries="queries.jsonl")
    with database(home) as db:
        sides = Sides.read(db)
    assert [sides.of_query(f"new wish {n}", "p1") for n in range(20)] == ["heldout"] * 20
    assert [sides.of_query(f"new wish {n}", "p0") for n in range(20)] == ["train"] * 20


def test_letter_case_and_spaces_make_no_other_query(home):
    write_queries(home, lambda number: "heldout" if number < 6 else "train")
    label(home, queries="queries.jsonl")
    (home / "shouted.txt").write_text("\n".join(f" {text.upper()}  " for text in QUERIES))
    with database(home) as db:
        sides = Sides.read(db)
    assert [sides.of_query(text.upper()) for text in QUERIES] == ["heldout"] * 6 + ["train"] * 18
    assert sides.of_query("Cafe\u0301 ") == sides.of_query("CAF\u00c9")


def test_a_workspace_that_judged_a_query_on_both_sides_measures_nothing_by_it(home):
    """As the versions before did when a file was edited between two runs."""
    write_queries(home, lambda number: "heldout" if number < 6 else "train")
    label(home, queries="queries.jsonl")
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as db, db:
        db.execute("UPDATE queries SET split = 'train' WHERE text = ?", (QUERIES[0],))
    _, held_out, said = check_no_leak(home)
    assert QUERIES[0] not in held_out.queries
    assert any("held-out judgments left out: their queries are used for training" in line for line in said)


# Items


def test_a_copy_is_never_on_the_other_side(home):
    for name in names(home):
        shutil.copy(home / "catalog" / name, home / "catalog" / f"copy of {name}")
    sides = sides_of(home, 0.4)
    assert {sides[name] for name in names(home)} == {"train", "heldout"}
    assert all(sides[name] == sides[f"copy of {name}"] for name in names(home) if not name.startswith("copy"))


def test_a_renamed_file_keeps_its_side(home):
    label(home, "--holdout", 0.4)
    before = sides_of(home, 0.4)
    for number, name in enumerate(names(home)):
        (home / "catalog" / name).rename(home / "catalog" / f"{number}.png")
    after = sides_of(home, 0.4)
    assert [after[f"{number}.png"] for number in range(len(before))] == [before[name] for name in sorted(before)]


def test_judgments_follow_renamed_files(home):
    label(home, "--holdout", 0.4)
    before, held_before, _ = taught(home)
    for number, name in enumerate(names(home)):
        (home / "catalog" / name).rename(home / "catalog" / f"{number}.png")
    after, held_after, said = taught(home)
    assert not any("left out" in line for line in said)
    assert [one.sha256 for one in after.judgments] == [one.sha256 for one in before.judgments]
    assert len(held_after.queries) == len(held_before.queries) > 0


def test_names_that_move_on_by_one_take_no_side_with_them(home):
    label(home, "--holdout", 0.4)
    before, files = sides_of(home, 0.4), names(home)
    contents = [(home / "catalog" / name).read_bytes() for name in files]
    for name, content in zip(files, [contents[-1], *contents[:-1]], strict=True):
        (home / "catalog" / name).write_bytes(content)
    after = sides_of(home, 0.4)
    assert [after[name] for name in files] == [before[name] for name in [files[-1], *files[:-1]]]
    label(home, "--seed", 1)
    check_no_leak(home)


def test_a_file_that_was_edited_in_place_keeps_its_side(home):
    label(home, "--holdout", 0.4)
    before = sides_of(home, 0.4)
    for number, name in enumerate(names(home)):
        draw("purple", number % 7, 50 + number, 60).save(home / "catalog" / name)
    assert sides_of(home, 0.4) == before


@pytest.mark.parametrize("column", ["group", "item_id", "sku"])
def test_images_of_one_product_are_on_one_side(home, column):
    rows = [{"file_name": name, column: number // 2} for number, name in enumerate(names(home))]
    (home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    sides = sides_of(home, 0.4)
    ordered = [sides[name] for name in names(home)]
    assert ordered[::2] == ordered[1::2]
    assert set(ordered) == {"train", "heldout"}
    label(home, "--holdout", 0.4)
    draw("orange", 3, 44, 44).save(home / "catalog" / "zz.png")
    rows.append({"file_name": "zz.png", column: "7.0"})
    rows = [{**row, column: f"{row[column]}"} for row in rows]  # as a CSV would give them
    rows[-1][column] = "7"
    (home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert sides_of(home, 0.4)["zz.png"] == ordered[14]


def test_a_group_that_was_judged_on_both_sides_neither_teaches_nor_hides(home):
    label(home, "--holdout", 0.4)
    before = sides_of(home, 0.4)
    train, held = (next(name for name in before if before[name] == side) for side in ("train", "heldout"))
    rows = [{"file_name": name, "group": "torn"} for name in (train, held)]
    (home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    after = sides_of(home, 0.4)
    assert after == {name: side for name, side in before.items() if name != train}
    again = label(home, "--seed", 1)
    assert f"1 items are used for neither training nor testing, e.g. {train!r}" in again.err
    sources, held_out, said = check_no_leak(home)
    assert held in held_out.items
    assert all(train not in judgment.items for judgment in sources.judgments)
    assert any("their queries or items are held out" in line for line in said)


def test_equal_content_ties_groups_together():
    items = [Item(f"{n}.png", None, {"sku": sku}) for n, sku in enumerate("aabbcc")]
    hashes = {"0.png": "x", "1.png": "y", "2.png": "y", "3.png": "z", "4.png": "w", "5.png": "v"}
    for number in range(40):
        sides = Sides(0.5).of_items(items, {key: f"{value}{number}" for key, value in hashes.items()}).split
        assert len({sides[f"{n}.png"] for n in range(4)}) == 1


def test_more_held_out_only_ever_moves_items_out_of_training():
    items = [Item(f"{n}.png", None) for n in range(2000)]
    hashes = {item.id: f"content {item.id}" for item in items}
    small, large = (set(Sides(share).of_items(items, hashes).of("heldout")) for share in (0.2, 0.3))
    assert small < large
    assert abs(len(small) / 2000 - 0.2) < 0.03


def test_order_and_names_of_items_decide_nothing():
    rng = np.random.default_rng(0)
    items = [Item(f"{n}.png", None, {"group": int(rng.integers(30))}) for n in range(200)]
    hashes = {item.id: str(int(rng.integers(150))) for item in items}
    first = Sides(0.3).of_items(items, hashes).split
    assert Sides(0.3).of_items(items[::-1], hashes).split == first
    renamed = [Item(f"x/{item.id}", None, item.metadata) for item in items]
    again = Sides(0.3).of_items(renamed, {f"x/{key}": value for key, value in hashes.items()}).split
    assert {key.removeprefix("x/"): side for key, side in again.items()} == first


# Workspaces of before


def as_version_1(path):
    """Bring a database back to the first schema, with what that knows."""
    new = path.with_name("first.db")
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute("ATTACH ? AS later", (str(path),))
        for (table,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(row[1] for row in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} SELECT {columns} FROM later.{table}")
        db.execute("PRAGMA main.user_version = 1")
    new.replace(path)
    for journal in ("-wal", "-shm"):
        path.with_name(path.name + journal).unlink(missing_ok=True)


def test_an_old_workspace_keeps_the_sides_by_which_it_was_judged(home):
    label(home, "--holdout", 0.4)
    before = sides_of(home, 0.4)
    train, held = (next(name for name in before if before[name] == side) for side in ("train", "heldout"))
    path = home / ".vdistill" / "vdistill.db"
    as_version_1(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM settings WHERE name = 'split_version'")  # as it was, with its own way to split
        key, sha256 = db.execute("SELECT key, sha256 FROM judgments WHERE split = 'train' AND instr(items, ?) LIMIT 1",
                                 (train,)).fetchone()  # fmt: skip
        copied = json.loads(sha256)
        copied[0] = db.execute("SELECT json_extract(sha256, '$[0]') FROM judgments WHERE split = 'heldout'").fetchone()[
            0
        ]
        db.execute("UPDATE judgments SET sha256 = ? WHERE key = ?", (json.dumps(copied), key))
    with database(home) as db:
        assert db.setting("split_version") == 1
        sides = Sides.read(db)
    assert sides_of(home, 0.4) == before
    assert sides.items["content", copied[0]] == "heldout", "what was judged on both sides is not trained on"
    rename = home / "catalog" / "another name.png"
    (home / "catalog" / held).rename(rename)
    assert sides_of(home, 0.4)[rename.name] == "heldout"
    label(home, "--holdout", 0.4, "--seed", 3)
    check_no_leak(home)


def test_migrations_are_only_ever_added():
    assert "CREATE TABLE settings" in MIGRATIONS[0][0]
    assert "CREATE TABLE sides" in MIGRATIONS[1][0]
    assert "CREATE TABLE paraphrases" in MIGRATIONS[2][0]


# --holdout and the catalog


def test_the_held_out_share_is_remembered(home):
    label(home, "--holdout", 0.4)
    before = sides_of(home, 0.4)
    assert label(home).json["calls"] == 0
    assert sides_of(home, 0.4) == before
    error, _ = errors(vdistill(*LABEL, "--queries", "queries.txt", "--holdout", 0.2, cwd=home))
    assert "--holdout 0.4" in error


def test_an_index_of_another_folder_leaves_the_catalog_of_the_judgments_alone(home, tmp_path, clip_folder):
    label(home, "--holdout", 0.4)
    (tmp_path / "other").mkdir()
    draw("red", 3, 40, 40).save(tmp_path / "other" / "lone.png")
    one = vdistill("index", "other", "--backbone", clip_folder, "--json", cwd=home)
    assert one.json["items"] == 1, one.err
    with database(home) as db:
        assert db.setting("catalog") == str((home / "catalog").resolve())
    assert len(taught(home)[0].items) == len(names(home))
    assert vdistill("index", "--json", cwd=home).json["items"] == 1, "the next `index` goes on with its own folder"
    assert vdistill("label", *LABEL[1:], "--queries", "queries.txt", "--json", cwd=home).json["calls"] == 0
    assert vdistill("index", "catalog", "--json", cwd=home).json["items"] == len(names(home))
    assert vdistill("index", "--json", cwd=home).json["items"] == len(names(home))


# Hashes of files


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    from vdistill.inputs import hashes as module

    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    items = [Item(path.name, path) for path in paths]
    seen = []
    real = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: seen.append(Path(path.path).name) or real(path))
    monkeypatch.setattr(module, "_SETTLED", -(10**12))  # files are never so young that they may change unseen
    with Hashes.open(tmp_path / "cache") as hashes:
        first = hashes.of(items)
    assert sorted(seen) == ["0.png", "1.png", "2.png"]
    seen.clear()
    status = paths[1].stat()
    paths[1].write_bytes(b"1.gnp")  # as long, and with the old time put back: only the change time tells
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    paths[2].unlink()
    with Hashes.open(tmp_path / "cache") as hashes:
        second = hashes.of(items)
    assert seen == ["1.png"]
    assert second == {"0.png": first["0.png"], "1.png": second["1.png"]}
    assert second["1.png"] != first["1.png"]


@pytest.mark.parametrize("damage", [b"no database" * 100, b""])
def test_a_damaged_cache_of_hashes_costs_time_alone(tmp_path, damage):
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hashes.db").write_bytes(damage)
    with Hashes.open(tmp_path / "cache") as hashes:
        assert len(hashes.of([Item("a.png", tmp_path / "a.png")])["a.png"]) == 64


# Near-duplicates


def test_a_scaled_and_compressed_copy_is_found_and_a_new_colour_is_not(tmp_path):
    rng = np.random.default_rng(0)
    photographs = {f"{n}.png": Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((300, 200))
                   for n in range(60)}  # fmt: skip
    found = {name: sketch(image) for name, image in photographs.items()}
    sides = dict.fromkeys(found, "train")
    photographs["7.png"].resize((150, 100)).save(tmp_path / "copy.jpg", quality=60)
    with Image.open(tmp_path / "copy.jpg") as copy:
        found["copy"] = sketch(copy)
    swapped = Image.merge("RGB", photographs["9.png"].split()[::-1])
    found["recoloured"] = sketch(swapped)
    sides |= {"copy": "heldout", "recoloured": "heldout"}
    assert across(found, sides) == {"copy": "7.png"}


def test_near_duplicates_across_the_split_are_said(home):
    before = sides_of(home, 0.4)
    train = next(name for name in before if before[name] == "train")
    for size in range(90, 130):  # until one falls on the other side
        with Image.open(home / "catalog" / train) as image:
            image.resize((size, size)).save(home / "catalog" / "again.png")
        if sides_of(home, 0.4)["again.png"] == "heldout":
            break
    write_scores(home, names(home))
    label(home, "--holdout", 0.4)
    _, _, said = taught(home)
    assert any("look like training images" in line and "again.png" in line for line in said), said


def test_many_alike_images_take_no_quadratic_time():
    found = {str(n): sketch(Image.new("RGB", (9, 8), (n % 5, 0, 0))) for n in range(20_000)}
    sides = {key: "heldout" if int(key) % 5 == 0 else "train" for key in found}
    assert len(across(found, sides)) == 4000
