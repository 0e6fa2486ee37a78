"""`index --to` and `query --from`: a database answers as the local index does, whichever engine it is."""

import json
import shutil

import pytest
from PIL import Image

from command_line import errors, vdistill


@pytest.fixture
def home(indexed, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(indexed, tmp_path / "home")
    return tmp_path / "home"


def push(home, address, code=0):
    done = vdistill("index", "catalog", "--model", "backbone", "--to", address, "--json", cwd=home)
    assert done.code == code, done.err
    return done.json["to"] if code == 0 else done


def ask(home, *arguments):
    done = vdistill("query", "--json", *arguments, cwd=home)
    assert done.code == 0, done.err
    return done.json["results"]


def rewrite(home, change):
    """The metadata of the catalog, each row changed by a function; a row for which it gives None is left out."""
    path = home / "catalog" / "metadata.jsonl"
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows if row is not None))


def grouped(row):
    """All images of one shape show one product."""
    more = {"note": "Xylophones"} if row["title"] == "red mug" else {}
    return {**row, "sku": row["title"].split()[1], "tags": row["title"].split(), "sale": row["price"] < 10, **more}


def alike(local, found):
    """Whether these are the same results, but for the precision in which vectors are stored."""
    assert len(found) == len(local)
    for mine, theirs in zip(local, found, strict=True):
        assert theirs["score"] == pytest.approx(mine["score"], abs=4e-3)
    mine, theirs = ({one["id"]: one for one in results} for results in (local, found))
    for id_ in mine.keys() & theirs.keys():
        assert {**mine[id_], "score": 0, "rank": 0} == {**theirs[id_], "score": 0, "rank": 0}
    return mine.keys() == theirs.keys()


def test_a_database_answers_as_the_local_index(home, address):
    rewrite(home, grouped)
    assert push(home, address)["added"] == 24
    for options in (["-k", 24, "--per", "image"], ["-k", 6], ["-k", 24, "--per", "image", "--where", "price < 12"],
                    ["-k", 4, "--where", "has(tags, 'red') OR NOT sale"], ["-k", 24, "--hybrid", "--per", "image"],
                    ["-k", 24, "--diverse", "0.5", "--per", "image"], ["-k", 24, "--exact", "--per", "image"],
                    ["-k", 24, "--min-score", "-1"]):  # fmt: skip
        local, found = ask(home, "red mug", *options), ask(home, "red mug", *options, "--from", address)
        if "--hybrid" in options or "--diverse" in options:  # whose order does not go by the score
            local, found = (sorted(one, key=lambda hit: hit["id"]) for one in (local, found))
        assert alike(local, found), options
    assert (
        ask(home, "xylophone", "-k", 1, "--hybrid", "--per", "image", "--from", address)[0]["metadata"]["title"]
        == "red mug"
    )
    looked = ask(home, "--image", "catalog/green_chair.png", "-k", 1, "--per", "image", "--from", address)
    assert looked[0]["id"] == "green_chair.png"
    mixed = ["-k", 24, "--per", "image", "2:red mug", "+", "catalog/green_chair.png", "-", "a lamp"]
    assert alike(ask(home, *mixed), ask(home, *mixed, "--from", address))


def test_the_answers_of_a_batch_are_those_of_each_query(home, address):
    push(home, address)
    (home / "wishes.txt").write_text("red mug\nblue chair\n")
    done = vdistill("query", "--batch", "wishes.txt", "--from", address, "--where", "price > 6", cwd=home)
    assert done.code == 0, done.err
    answers = [json.loads(line) for line in done.out.splitlines()]
    alone = [ask(home, wish, "--from", address, "--where", "price > 6") for wish in ("red mug", "blue chair")]
    assert [answer["results"] for answer in answers] == alone
    assert [len(results) for results in alone] == [10, 10]


def test_only_what_changed_is_sent(home, address):
    first = push(home, address)
    assert (first["added"], first["swapped"], first["version"]) == (24, True, 1)
    again = push(home, address)
    assert (again["unchanged"], again["added"], again["updated"], again["removed"]) == (24, 0, 0, 0)
    rewrite(home, lambda row: {**row, "price": 99} if row["file_name"] == "red_mug.png" else row)
    (home / "catalog" / "blue_lamp.png").unlink()
    Image.new("RGB", (50, 50), "pink").save(home / "catalog" / "pink.png")
    changed = push(home, address)
    counts = {name: changed[name] for name in ("added", "updated", "removed", "unchanged", "swapped", "version")}
    assert counts == {"added": 1, "updated": 1, "removed": 1, "unchanged": 22, "swapped": False, "version": 1}
    assert [hit["id"] for hit in ask(home, "mug", "--from", address, "--where", "price = 99")] == ["red_mug.png"]
    assert {hit["id"] for hit in ask(home, "x", "-k", 30, "--from", address)} == {
        path.name for path in (home / "catalog").glob("*.png")
    }


def test_columns_come_and_go_and_a_column_of_another_kind_makes_a_new_version(home, address):
    push(home, address)
    rewrite(home, lambda row: {**{k: v for k, v in row.items() if k != "description"}, "added": "2024-05-01"})
    assert push(home, address)["version"] == 1
    assert len(ask(home, "x", "-k", 24, "--from", address, "--where", "added = '2024-05-01'")) == 24
    gone = vdistill("query", "x", "--from", address, "--where", "description IS NULL", cwd=home)
    assert "no column 'description'" in errors(gone)[0]
    rewrite(home, lambda row: {**row, "price": "free" if row["price"] == 5 else row["price"]})
    changed = push(home, address)
    assert (changed["version"], changed["swapped"], changed["added"]) == (2, True, 24)
    assert len(ask(home, "x", "-k", 24, "--from", address, "--where", "price = 'free'")) == 1


def test_odd_names_and_values_come_back_as_they_were(home, address):
    odd = {'say "hi"': "it's 100 % {}", "vector": 3, "ID": "x", "a.b[0]": "z", "": "none", "über": "ä\\'", "x" * 80: 1,
           "day": "2024-02-31", "nested": {"a": [1, None]}, "big": 10**17 + 1, "small": 1e-300}  # fmt: skip
    rewrite(home, lambda row: {**row, **odd})
    push(home, address)
    assert push(home, address)["unchanged"] == 24
    found = ask(home, "red mug", "-k", 24, "--from", address)
    assert alike(ask(home, "red mug", "-k", 24), found)
    for where in ("\"say \"\"hi\"\"\" = 'it''s 100 % {}'", "vector = 3", "`a.b[0]` = 'z'", "big > 1e17",
                  "über = 'ä\\''' ", "day = '2024-02-31'", "small > 0 AND small < 1"):  # fmt: skip
        assert len(ask(home, "x", "-k", 24, "--from", address, "--where", where)) == 24, where


def test_a_machine_needs_the_manifest_and_the_encoders_alone(home, address, tmp_path):
    push(home, address)
    there = tmp_path / "elsewhere" / ".vdistill" / "index"
    there.mkdir(parents=True)
    index = home / ".vdistill" / "index"
    shutil.copy(index / "manifest.json", there)
    shutil.copytree(index / "text_encoder", there / "text_encoder")
    elsewhere = tmp_path / "elsewhere"
    assert ask(elsewhere, "red mug", "--from", address) == ask(home, "red mug", "--from", address)


def test_the_address_may_stand_in_the_environment_or_the_file(home, address):
    push(home, address)
    (home / "vdistill.toml").write_text(f"[query]\nfrom = '{address}'\n")
    assert ask(home, "red mug") == ask(home, "red mug", "--from", address)


def test_what_a_database_cannot_answer_is_refused_by_its_name(home, address):
    push(home, address)
    for where, named in (("lower(title) = 'x'", "lower()"), ("price * 2 < 10", "*"), ("title GLOB 'r*'", "GLOB"),
                         ("EXISTS (SELECT 1)", "EXISTS"), ("price < price", "price"), ("prise < 3", "'prise'"),
                         ("price <", "the end"), ("title", "title alone")):  # fmt: skip
        done = vdistill("query", "x", "--from", address, "--where", where, cwd=home)
        assert done.code == 1, where
        error, hint = errors(done)
        assert named in error, where
        assert hint


def test_a_teacher_orders_what_a_database_finds(home, address):
    push(home, address)
    rows = ["query,item,score", *(f"red mug,{path.name},{place / 4}" for place, path in
                                  enumerate(sorted((home / "catalog").glob("*.png"))))]  # fmt: skip
    (home / "scores.csv").write_text("\n".join(rows) + "\n")
    asked = ("query", "red mug", "--from", address, "--rerank", 8, "--teacher", "table:scores.csv", "-k", 8, "--json")
    done = vdistill(*asked, cwd=home)
    assert done.code == 0, done.err
    ids = [one["id"] for one in done.json["results"]]
    assert (done.json["reranked"], ids[:3]) == (8, sorted(ids, reverse=True)[:3])
    assert vdistill(*asked, cwd=home).json["calls"] == 0


def test_asking_for_what_is_not_there(home, address, tmp_path):
    done = vdistill("query", "x", "--from", address, cwd=home)
    assert "no vectors" in errors(done)[0]
    assert "index --to" in errors(done)[1]
    assert not (tmp_path / "qdrant").exists()
    push(home, address)
    other = vdistill("query", "x", "--from", address, "--model", "student", cwd=home)
    assert "holds the backbone" in errors(other)[0]
    both = vdistill("query", "x", "--from", address, "--compare", "--gallery", "p.html", cwd=home)
    assert both.code == 2
    shutil.rmtree(home / ".vdistill" / "index")
    assert "no text encoder" in errors(vdistill("query", "x", "--from", address, cwd=home))[0]


def test_vectors_of_another_encoder_are_refused(home, address, siglip_folder):
    push(home, address)
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", siglip_folder, cwd=home)
    assert done.code == 0, done.err
    error, _ = errors(vdistill("query", "x", "--from", address, cwd=home))
    assert "another text encoder" in error
    assert push(home, address)["version"] == 2
    assert len(ask(home, "red mug", "--from", address)) == 10


def test_a_newer_model_here_is_said_and_its_image_encoder_not_used(home, address):
    push(home, address)
    path = home / ".vdistill" / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["models"]["backbone"]["model_fingerprint"] = "another"
    path.write_text(json.dumps(manifest))
    done = vdistill("query", "red mug", "--from", address, cwd=home)
    assert done.code == 0
    assert "another backbone than the index here" in done.err
    refused = vdistill("query", "--image", "catalog/red_mug.png", "--from", address, "--quiet", cwd=home)
    assert "another model than the image encoder" in errors(refused)[0]
