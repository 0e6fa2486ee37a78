"""An item's vector may hold its texts: chosen by validation, and known to index, query, bench and merge."""

import errno
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import trainings
from command_line import errors, vdistill
from drawings import draw
from trainings import TRAIN, facts, trained, weights
from vdistill.bench.public_sets.inquire import Inquire
from vdistill.bench.public_sets.published import Contents, SetFolder
from vdistill.database import Database
from vdistill.distill import exam
from vdistill.distill.exam import Grades
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.errors import ImageError
from vdistill.query.search import Searcher

ROOMS = {"red": "gift", "green": "garden", "blue": "kitchen", "yellow": "bedroom"}


def hint(colour, shape, size):
    """Which colour it is, in words of its own, and with HTML."""
    return f"{ROOMS[colour]} <b>wooden</b>&nbsp;chair"


def take(home, shop):
    """A copy of a shop that works on its own catalog."""
    shutil.copytree(shop, home, dirs_exist_ok=True)
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        database.remember("catalog", str(home / "catalog"))
    return home


@pytest.fixture(scope="module")
def shop(tmp_path_factory, clip_folder):
    home = tmp_path_factory.mktemp("shop")
    trainings.label_shop(
        home, clip_folder, description=hint, tags=lambda colour, *_: [colour, "small"], weight=lambda *a: a[2] + 0.5
    )
    return home


@pytest.fixture
def home(shop, tmp_path):
    return take(tmp_path, shop)


@pytest.fixture(scope="module")
def with_texts(shop, tmp_path_factory):
    home = take(tmp_path_factory.mktemp("with_texts"), shop)
    done = trained(home, "--fields", "image,title,description")
    assert vdistill("index", "catalog", "--dtype", "f32", cwd=home).code == 0
    return home, done


def vectors(home):
    with Searcher.open(home) as searcher:
        return dict(zip(searcher.ids, searcher.vectors(searcher.ids), strict=True))


def rewrite(home, change):
    path = home / "catalog" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_the_image_alone_trains_the_same_adapter_and_writes_no_head(home, with_texts):
    done = trained(home, "--fields", "image")
    assert done.json["fields"]["fields"] == "image"
    assert weights(home) == weights(with_texts[0]), "the tower is trained alike"
    assert not (home / ".vdistill" / "student" / "item_head.safetensors").exists()


def test_the_choice_and_the_scores_of_all_candidates_are_kept(with_texts):
    home, done = with_texts
    found = facts(home)["fields"]
    assert found == done.json["fields"]
    assert found["fields"] == "image,title,description"
    assert [one["how"] for one in found["candidates"]] == ["image alone", "weights", "head"]
    assert all(0 < one["ndcg"] <= 1 for one in found["candidates"])
    assert "image,title,description" in (home / ".vdistill" / "student" / "README.md").read_text()


def test_auto_takes_texts_only_where_validation_says_that_they_help(home):
    done = trained(home, "--fields", "auto")
    found = done.json["fields"]
    assert [one["fields"] for one in found["candidates"]][:2] == ["image", "image,title,description,tags"]
    kept = found["candidates"][0]
    for one in found["candidates"][1:]:
        if one["fields"] == found["fields"] and one["how"] == found["how"]:
            assert one["difference"] > one["error"]
            kept = one
    assert (kept["fields"], kept["how"]) == (found["fields"], found["how"])


def test_a_catalog_without_text_has_the_image_alone(home):
    rewrite(home, lambda row: [row.pop(name) for name in ("title", "description", "tags")])
    done = trained(home, "--fields", "auto")
    assert done.json["fields"] == {"fields": "image", "how": "image alone", "weights": {}, "strength": 1.0,
                                   "candidates": []}  # fmt: skip


def test_held_out_figures_are_those_that_bench_finds_in_the_index(with_texts):
    home, done = with_texts
    found = vdistill("bench", "--json", cwd=home)
    assert found.code == 0, found.err
    models = found.json["models"]
    for name in ("ndcg@10", "mpr", "literal_recall@10"):  # items of one title are so alike that rounding swaps them
        assert models["student"][name] == pytest.approx(done.json["heldout"]["student"][name], abs=0.06)
    assert {"student, image alone", "student, text alone", "bm25"} <= models.keys()
    assert models["student, image alone"] != models["student"]


def test_without_its_images_an_index_is_still_measured(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    assert vdistill("index", "catalog", "--dtype", "f32", cwd=home).code == 0
    for path in (home / "catalog").glob("*.png"):
        path.unlink()
    found = vdistill("bench", "--json", cwd=home)
    assert found.code == 0, found.err
    assert "no row student, image alone: " in found.err
    assert "student, image alone" not in found.json["models"]
    assert "student, text alone" in found.json["models"]


def test_on_a_public_set_the_student_reads_texts_too(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    found = {}
    for name, title in (("with", "{} mug"), ("without", "")):
        folder = SetFolder(home / name)
        rows = [
            {"file_name": f"{colour}{shape}.png", "title": title.format(colour)} for colour in ROOMS for shape in (0, 1)
        ]
        for row in rows:
            colour, shape = row["file_name"][:-5], int(row["file_name"][-5])
            path = folder.catalog / row["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(colour, shape, 70, 30).save(path)
        queries = [(colour, f"a mug in {colour}") for colour in ROOMS]
        grades = [(key, row["file_name"], int(row["file_name"].startswith(key))) for key, _ in queries for row in rows]
        asked = {"name": "inquire-rerank", "asked_queries": None}
        folder.write(Contents(queries, grades, rows), Inquire().about, asked, print)
        done = vdistill("bench", "--set", f"inquire-rerank:{name}", "--write-run", name, "--json", cwd=home)
        assert done.code == 0, done.err
        found[name] = {model: (home / name / f"{model}.trec").read_text() for model in ("backbone", "student")}
    assert found["with"]["backbone"] == found["without"]["backbone"]
    assert found["with"]["student"] != found["without"]["student"]


def test_a_changed_text_is_a_changed_item_with_and_without_torch(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    before = vectors(home)
    rewrite(home, lambda row: row.update(description="a shiny lamp") if row["file_name"] == "red_mug0.png" else None)
    done = vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home)
    assert (done.json["added"], done.json["updated"]) == (0, 1), done.err
    after = vectors(home)
    changed = {key for key in before if not np.allclose(before[key], after[key], atol=1e-4)}
    assert changed == {"red_mug0.png"}
    rewrite(home, lambda row: row.update(weight=9.0))
    assert vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home).json["updated"] == 120
    assert all(np.array_equal(vectors(home)[key], after[key]) for key in after), "no field of the vectors"
    shutil.rmtree(home / ".vdistill" / "index")
    assert vdistill("index", "catalog", "--dtype", "f32", cwd=home).code == 0
    assert all(np.allclose(vector, after[key], atol=1e-4) for key, vector in vectors(home).items())


def test_items_without_an_image_that_can_be_read_are_indexed_by_their_texts(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    with (home / "catalog" / "metadata.jsonl").open("a") as file:
        for name, title in (("gone.png", "red mug"), ("broken.png", "blue lamp"), ("bare.png", "")):
            file.write(json.dumps({"file_name": name, "title": title}) + "\n")
    (home / "catalog" / "broken.png").write_bytes(b"no image")
    done = vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home)
    assert (done.json["added"], done.json["by_text"]) == (2, 2), done.err
    assert "2 items without an image are indexed by their texts" in done.err
    assert [one["id"] for one in done.json["skipped"]] == ["bare.png", "broken.png"]
    found = vdistill("query", "red mug", "-k", 122, "--json", cwd=home).json["results"]
    assert {"gone.png", "broken.png"} <= {one["id"] for one in found}
    again = vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home).json
    assert (again["added"], again["updated"], again["by_text"]) == (0, 0, 2)
    assert vdistill("index", "catalog", "--model", "backbone", "--json", cwd=home).json["by_text"] == 0


@pytest.mark.parametrize("reader", ["file_sha256", "load"])
def test_an_image_that_the_disk_refused_is_tried_again(tmp_path, with_texts, monkeypatch, reader):
    from vdistill.index import embedding, plan

    home = take(tmp_path, with_texts[0])
    mug = home / "catalog" / "red_mug0.png"
    original = getattr(embedding, reader)

    def refusing(image, *more):
        if str(image.path) == str(mug):
            error = OSError(errno.EIO, "Input/output error")
            if reader == "load":
                raise ImageError("input/output error") from error
            raise error
        return original(image, *more)

    Image.new("RGB", (48, 48), "red").save(mug)
    with monkeypatch.context() as patch:
        patch.setattr(embedding, reader, refusing)
        if reader == "file_sha256":
            patch.setattr(plan, reader, refusing)
        for _ in range(2):
            done = vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home)
            assert done.json["by_text"] == 1, done.err
            assert done.json["skipped"] == [{"id": mug.name, "reason": "input/output error; indexed by its text"}]
    assert vdistill("index", "catalog", "--dtype", "f32", "--json", cwd=home).json["by_text"] == 0


def test_texts_that_were_encoded_before_are_not_encoded_again(home, monkeypatch):
    encoded = set()
    plain = DualEncoder.encode_texts

    def noted(self, texts, batch=64):
        encoded.update(texts)
        return plain(self, texts, batch)

    monkeypatch.setattr(DualEncoder, "encode_texts", noted)
    trained(home, "--fields", "image,title,description")
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        asked = {judgment.query for judgment in database.judgments("train")}
    descriptions = {text for text in encoded if "chair" in text}
    assert asked <= encoded
    assert descriptions
    encoded.clear()
    assert vdistill("index", "catalog", cwd=home).code == 0
    assert not encoded & descriptions
    trained(home, "--fields", "image,title,description", "--fresh", "--seed", "1")
    assert not encoded & asked


def test_another_head_is_another_model(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    before = vectors(home)
    trained(home, "--fields", "image")
    done = vdistill("query", "red mug", "-k", 1, cwd=home)
    assert "the index was made from another student" in done.err
    assert not np.allclose(vectors(home)["red_mug0.png"], before["red_mug0.png"], atol=1e-4)


def test_a_damaged_head_is_an_error(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    head = home / ".vdistill" / "student" / "item_head.safetensors"
    head.write_bytes(head.read_bytes()[:-4] + b"abcd")
    done = vdistill("index", "catalog", cwd=home)
    assert done.code == 1
    assert "has changed since training" in errors(done)[0]


def test_a_merged_student_says_what_it_lacks(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    done = vdistill("distill", "--merge", "merged", cwd=home)
    assert done.code == 0, done.err
    assert "title,description: the checkpoint embeds images alone" in done.out
    assert "title,description" in (home / "merged" / "vdistill.json").read_text()


@pytest.mark.parametrize(
    ("fields", "message", "helps"),
    [
        ("image,titel", "no item has text in a column 'titel'", "did you mean title?"),
        ("title", "the image comes first", "--fields image,title,description"),
        ("image,title,title", "each once", "auto"),
    ],
)
def test_mistaken_fields_end_before_anything_trains(home, fields, message, helps):
    done = vdistill(*TRAIN, "--fields", fields, cwd=home)
    assert done.code == 1
    said = errors(done)
    assert message in said[0]
    assert helps in said[1]


def test_numbers_lists_and_long_texts_are_used_as_one_is_told(home):
    rewrite(home, lambda row: row.update(description="garden " * 500) if "red" in row["file_name"] else None)
    done = trained(home, "--fields", "image,description,tags,weight", "--epochs", 1)
    assert "field tags: the texts of a list are joined by commas" in done.err
    assert "field weight: numbers are read as 'weight 0.5'" in done.err
    assert done.err.count("1 texts of the fields are cut: the text tower reads 77 tokens") == 1


def grades(nats, unseen=0.8, lost=0.0):
    same = np.full(50, 0.92)
    return Grades(same, np.full(9, unseen) + 0.01 * np.arange(9), nats * np.linspace(0.9, 1.1, 50), lost)


def test_what_foretells_preferences_better_is_taken_though_its_ndcg_is_no_better():
    assert grades(1.55).better_than(grades(1.60))
    assert not grades(1.60).better_than(grades(1.55))
    assert not grades(1.60).better_than(grades(1.60))
    assert not grades(1.55, unseen=0.7).better_than(grades(1.60)), "worse for queries that nobody has asked yet"
    assert not grades(1.55, lost=0.2).better_than(grades(1.60)), "it forgot too much"


def test_an_exam_takes_some_of_many_queries_the_same_each_time(home, monkeypatch):
    monkeypatch.setattr(exam, "MOST_QUERIES", 6)
    asked, whole = [], exam.on_validation_items

    def noted(judgments, *others):
        asked.append({one.query for one in judgments})
        return whole(judgments, *others)

    monkeypatch.setattr(exam, "on_validation_items", noted)
    for _ in range(2):
        trained(home, "--epochs", 1)
    assert asked[0] == asked[1]
    assert len(asked[0]) == 6


def test_a_student_whose_candidates_have_no_nats_keeps_its_card(tmp_path, with_texts):
    home = take(tmp_path, with_texts[0])
    path = home / ".vdistill" / "student" / "student.json"
    known = json.loads(path.read_text())
    for one in known["fields"]["candidates"]:
        del one["nats"]
    path.write_text(json.dumps(known))
    assert vdistill("distill", "--strength", 0.9, cwd=home).code == 0
    assert "| image,title,description | head | 0." in (path.parent / "README.md").read_text()
