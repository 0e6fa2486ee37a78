"""Queries that the teacher writes: kept, cleaned, and not paid for twice."""

import base64
import io
import json

import pytest
from PIL import Image

import vlm_models
from chat_server import ChatServer, completion
from command_line import errors, sides_of, vdistill
from vdistill.database import Database

LINES = '1. a gift for a man who bakes\n- "something for long winter evenings"\n\nHere are the searches:\nlamp\n'


def writes(number):
    return completion(f"{LINES}wish number {number} for an aunt\n")


ANSWER = completion("A", logprobs={"A": -0.4, "B": -1.2, "C": -2.0, "D": -3.0})


def label(home, server, *options):
    return vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--images-per-call", 4,
                    "--holdout", 0.4, "--budget", 60, *options, "--json", cwd=home)  # fmt: skip


def rows(home):
    lines = (home / ".vdistill" / "written_queries.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def written(home):
    return [row["query"] for row in rows(home)]


def texts_and_images(body):
    """What a writing call showed, as the bytes of its images."""
    return [part["image_url"]["url"] for part in body["messages"][1]["content"] if part["type"] == "image_url"]


def test_written_queries_are_cleaned_kept_and_asked(tmp_path, catalog):
    with ChatServer(writes(1), writes(2), writes(3), ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 4)
        assert done.code == 0, done.err
        assert done.json["queries"] == 4
        assert done.json["calls"] == server.calls
        assert written(tmp_path) == [
            "a gift for a man who bakes", "something for long winter evenings", "wish number 1 for an aunt",
            "wish number 2 for an aunt", "wish number 3 for an aunt",
        ]  # fmt: skip
        assert len(texts_and_images(server.bodies[0][1])) == 8
        again = label(tmp_path, server, "--generate-queries", 4)
        assert again.json["calls"] <= 3, "what the first run's cap left out, because writing counted too"
        assert len(written(tmp_path)) == 5


def test_what_one_call_writes_is_on_one_side_of_the_split(tmp_path, catalog):
    with ChatServer(*map(writes, range(1, 9)), ANSWER) as server:
        assert label(tmp_path, server, "--generate-queries", 6, "--holdout", 0.4).code == 0
    sides = [row["split"] for row in rows(tmp_path)]
    assert sides[:3] == ["train"] * 3, "the first call brought three ways to say what its images suggest"
    assert sides[3:] == ["heldout", "heldout", "train"], "0.4 of six, and each later call brought one"
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        registered = {query.text: query.split for query in database.queries()}
    assert registered.items() <= {row["query"]: row["split"] for row in rows(tmp_path)}.items()


def test_a_call_that_writes_shows_images_of_one_side(tmp_path, catalog):
    with ChatServer(*map(writes, range(1, 9)), ANSWER) as server:
        assert label(tmp_path, server, "--generate-queries", 6, "--holdout", 0.4).code == 0
        shown = [set(texts_and_images(body)) for _, body in server.bodies[: len(set(written(tmp_path))) - 2]]
    sides = [row["split"] for row in rows(tmp_path)][2:]  # of each call: the first wrote three lines
    train, held_out = (
        set().union(*(images for images, side in zip(shown, sides, strict=True) if side == wanted))
        for wanted in ("train", "heldout")
    )
    assert train
    assert held_out
    assert not train & held_out


def test_they_join_those_of_a_file(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("mine\na gift for a man who bakes\n")
    with ChatServer(writes(1), writes(2), ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 3, "--queries", "q.txt")
        assert done.json["queries"] == 4, "one of the three is in the file already"


def yellow(uri):
    """Whether an image that a call showed is drawn in yellow."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    red, green, blue = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    return min(red, green) > 180 > 100 > blue


def test_a_thin_set_grows_by_what_no_query_reaches(tmp_path, catalog):
    """The queries of the file find all that is red, green or blue; the writer is shown what is yellow."""
    (tmp_path / "q.txt").write_text("red mug lamp chair\ngreen teapot\nblue pot plant\n")
    rows = [json.loads(line) for line in (catalog / "metadata.jsonl").read_text().splitlines()]
    kept = [{"file_name": row["file_name"], "title": row["title"].split()[0]} for row in rows]
    (catalog / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    with ChatServer(writes(1), completion("a yellow thing, please\n"), ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 4, "--queries", "q.txt")
        assert done.code == 0, done.err
    assert (done.json["coverage_before"], done.json["coverage"]) == (0.75, 1.0)
    assert "coverage: 75% of the images were among the 20 first of some query, now 100%" in done.err
    train = [name for name, side in sides_of(tmp_path, 0.4).items() if side == "train" and name.startswith("yellow")]
    shown = texts_and_images(server.bodies[0][1])
    assert (len(shown), sum(map(yellow, shown))) == (8, len(train)), "all that is yellow, and some to fill the call"


def test_a_model_without_ideas_ends_with_what_there_is(tmp_path, catalog):
    with ChatServer(*[writes(1)] * 6, ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 50)
        assert done.code == 0, done.err
        assert "had no more ideas: 3 queries instead of 50" in done.err
        assert {row["split"] for row in rows(tmp_path)} == {"train"}


def test_a_model_that_writes_nothing_usable_is_an_error(tmp_path, catalog):
    with ChatServer(completion("A")) as server:
        assert "wrote no query that can be used" in errors(label(tmp_path, server, "--generate-queries", 5))[0]


def test_a_dry_run_writes_nothing(tmp_path, catalog):
    with ChatServer(writes(1)) as server:
        done = label(tmp_path, server, "--generate-queries", 5, "--dry-run")
        assert "no queries to plan with" in errors(done)[0]
        assert server.calls == 0


def test_a_teacher_that_cannot_write_says_so(tmp_path, catalog):
    done = vdistill("label", "catalog", "--teacher", "metadata", "--generate-queries", 5, cwd=tmp_path)
    assert "cannot write queries" in done.err


@pytest.mark.slow
def test_a_model_in_this_process_writes(tmp_path, catalog, tmp_path_factory):
    """It can say nothing but the letters A to I, spaces and ends of lines: so must what is kept of it."""
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    folder = vlm_models.qwen2_vl(tmp_path_factory.mktemp("vlm"))
    model, tokenizer = Qwen2VLForConditionalGeneration.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    vlm_models.prefer(model, tokenizer.convert_tokens_to_ids(["\u0120", "\u010a"]), 24.0)  # a space, a line's end
    model.save_pretrained(folder)
    done = vdistill("label", "catalog", "--teacher", folder, "--generate-queries", 2, "--budget", 6, cwd=tmp_path)
    assert done.code == 0, done.err
    assert {row["split"] for row in rows(tmp_path)} == {"train", "heldout"}
    assert set("".join(written(tmp_path))) <= set("ABCDEFGHI ")
