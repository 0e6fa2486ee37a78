"""Other wordings of training queries: asked of the teacher once, given in a file, cleaned, and never held out."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

import vlm_models
from chat_server import ChatServer, completion
from command_line import errors, vdistill

JUDGES = completion("A", logprobs={"A": -0.4, "B": -1.2, "C": -2.0, "D": -3.0})
QUERIES = ["a gift for a keen gardener", "something warm for winter evenings", "a lamp to read by", "for a new kitchen"]


def text_of(body):
    """What a request asks, where it shows no image; else None."""
    parts = body["messages"][1]["content"]
    return parts[0]["text"] if [part["type"] for part in parts] == ["text"] else None


def writes(*lines):
    """A server that judges, and writes these lines where it is asked for other words of a query."""
    return lambda body: JUDGES if text_of(body) is None else completion("\n".join(lines).format(query=query_of(body)))


def query_of(body):
    return next(query for query in QUERIES if f'"{query}"' in text_of(body))


def wordings(server):
    """How often each query was asked for in other words."""
    return [query_of(body) for _, body in server.bodies if text_of(body)]


def label(home, server, *options):
    return vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--images-per-call", 4,
                    "--holdout", 0.4, "--queries", "queries.jsonl", "--budget", 40, *options, "--json",
                    cwd=home)  # fmt: skip


def stored(home):
    with closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database:
        return database.execute("SELECT query, text, teacher FROM paraphrases ORDER BY rowid").fetchall()


@pytest.fixture
def home(tmp_path, catalog):
    rows = [{"query": query, "split": "train" if number < 3 else "heldout"} for number, query in enumerate(QUERIES)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_teacher_puts_training_queries_in_other_words_once(home):
    with ChatServer(writes("Here they are:", "1. {query}, please", '- "{query} - which one?"')) as server:
        done = label(home, server, "--paraphrases", 2)
        assert done.code == 0, done.err
        assert sorted(wordings(server)) == sorted(QUERIES[:3]), "no held-out query"
        assert (done.json["paraphrases"], done.json["paraphrase_calls"]) == (6, 3)
        assert done.json["calls"] == server.calls
        assert done.json["paraphrase_tokens"] == 3 * 101
        assert label(home, server, "--paraphrases", 2).json["paraphrase_calls"] == 0
        assert label(home, server, "--paraphrases", 3).json["paraphrase_calls"] == 3, "one more of each"
    assert stored(home)[0][1:] in [(f"{query}, please", "openai:vlm") for query in QUERIES]
    assert len(stored(home)) == 6, "the same again is nothing new"


def test_it_is_asked_by_default_and_not_with_0(home, monkeypatch):
    monkeypatch.delenv("VDISTILL_PARAPHRASES")
    with ChatServer(writes("{query}, please")) as server:
        assert label(home, server, "--paraphrases", 0).json["paraphrase_calls"] == 0
        assert wordings(server) == []
        done = label(home, server)
        assert (done.json["paraphrase_calls"], done.json["paraphrases"]) == (3, 3)
        assert "Write 4 other searches" in next(text for _, body in server.bodies if (text := text_of(body)))
        assert label(home, server).json["calls"] == 0, "a query that got one of four wordings is not asked for again"


def test_what_repeats_or_answers_a_query_is_left_out(home):
    ends = (" now", ", please", " - any ideas?", " at last")
    lines = ["{query}", QUERIES[3].upper(), "red teapot, small", "gloves, seeds and a trowel"]
    lines += [f"{{query}}{end}" for end in ends]
    with ChatServer(writes(*lines)) as server:
        done = label(home, server, "--paraphrases", 8)
    assert {text for _, text, _ in stored(home)} == {f"{query}{end}" for query in QUERIES[:3] for end in ends}
    assert "6 repeat another query or wording" in done.err
    assert "6 name products instead of the wish" in done.err


def test_a_model_that_answers_instead_brings_nothing(home):
    with ChatServer(writes("red teapot", "blue mug", "yellow plant pot")) as server:
        done = label(home, server, "--paraphrases", 3)
    assert (done.code, stored(home)) == (0, [])
    assert "9 name products instead of the wish" in done.err


def test_a_failed_call_is_counted_and_made_again_next_time(home):
    refuses = completion(None, refusal="I would rather not")
    script = lambda body: JUDGES if text_of(body) is None else refuses  # noqa: E731
    with ChatServer(script) as server:
        done = label(home, server, "--paraphrases", 2)
        assert (done.code, done.json["paraphrase_failed"], done.json["failed"]) == (0, 3, 0)
        assert "3 calls for other wordings failed, the last one: the model refused" in done.err
    with ChatServer(writes("{query}, please")) as server:
        assert label(home, server, "--paraphrases", 2).json["paraphrases"] == 3


def test_a_plan_prices_them_and_the_caps_hold(home):
    with ChatServer(writes("{query}, please")) as server:
        env = {"VDISTILL_USD_PER_MILLION": "1,2"}
        command = ["label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--images-per-call", 4,
                   "--holdout", 0.4, "--queries", "queries.jsonl", "--paraphrases", 4, "--json"]  # fmt: skip
        plan = vdistill(*command, "--budget", 40, "--dry-run", cwd=home, env=env).json
        assert server.calls == 0
        assert (plan["paraphrase_calls"], plan["paraphrases"]) == (3, 12)
        assert 0 < plan["paraphrase_cost_usd"] < 0.1 * plan["cost_usd"]
        assert plan["calls"] == plan["judgments"] + 3
        (home / "queries.jsonl").write_text("".join((home / "queries.jsonl").read_text().splitlines(True)[:3]))
        done = vdistill(*command, "--budget", 12, cwd=home, env=env)
        assert (done.json["paraphrase_calls"], done.json["calls"]) == (2, 12), "a fifth of the caps"
        assert "a fifth of the caps is spent on other wordings: none yet for 1 of 3 queries" in done.err


def test_a_teacher_that_cannot_write_is_asked_for_none_unless_told_to(home, monkeypatch):
    monkeypatch.delenv("VDISTILL_PARAPHRASES")
    command = ["label", "catalog", "--teacher", "metadata", "--queries", "queries.jsonl", "--budget", 20, "--json"]
    assert vdistill(*command, cwd=home).json["paraphrases"] == 0
    error, hint = errors(vdistill(*command, "--paraphrases", 4, cwd=home))
    assert "cannot put queries in other words" in error
    assert "paraphrases" in hint


def test_the_users_own_are_taken_from_the_file(home):
    rows = [
        {"query": QUERIES[0], "split": "train", "paraphrases": ["for green fingers", "for a digger", QUERIES[1]]},
        {"query": QUERIES[1], "split": "train", "paraphrases": ["for green fingers", "against the cold"]},
        {"query": QUERIES[3], "split": "heldout", "paraphrases": ["I have a new kitchen"]},
    ]  # fmt: skip
    (home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ChatServer(writes("{query}, please")) as server:
        done = label(home, server, "--paraphrases", 2)
        assert wordings(server) == [QUERIES[1]], "the other has two of its own"
        assert "1 paraphrases of held-out queries are left out" in done.err
        given = {text for _, text, teacher in stored(home) if not teacher}
        assert given == {"for green fingers", "for a digger", "against the cold"}
        rows[0]["paraphrases"] = ["somebody who digs all day"]
        (home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert label(home, server, "--paraphrases", 0).code == 0
        assert {text for query, text, _ in stored(home) if query == QUERIES[0]} == {"somebody who digs all day"}
        del rows[0]["paraphrases"]
        (home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        before = stored(home)
        assert label(home, server, "--paraphrases", 0).code == 0
    assert stored(home) == [row for row in before if row[0] != QUERIES[0]], "the others are as they were"


def test_a_query_that_is_another_wording_of_a_training_query_is_not_held_out(home):
    with ChatServer(writes("{query}, please")) as server:
        label(home, server, "--paraphrases", 1)
    (home / "queries.jsonl").write_text(json.dumps({"query": f"{QUERIES[0]}, please", "split": "heldout"}) + "\n")
    with ChatServer(writes("{query}, now")) as server:
        label(home, server, "--paraphrases", 0)
    with closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database:
        found = dict(database.execute("SELECT text, split FROM queries").fetchall())
    assert found[f"{QUERIES[0]}, please"] == "train"


def test_people_read_of_them_only_where_there_are_any(home):
    with ChatServer(writes("{query}, please")) as server:
        command = ["label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--images-per-call", 4,
                   "--holdout", 0.4, "--queries", "queries.jsonl", "--budget", 40]  # fmt: skip
        without = vdistill(*command, "--paraphrases", 0, cwd=home).out
        with_some = vdistill(*command, "--paraphrases", 1, cwd=home).out
    assert "paraphrase" not in without
    assert "None" not in without
    assert "paraphrase calls" in with_some


def test_in_a_csv_file_they_are_separated_by_bars(home):
    (home / "q.csv").write_text(
        f'query,split,paraphrases\n"{QUERIES[0]}",train,one way | another way|\n{QUERIES[2]},train,\n'
    )
    with ChatServer(JUDGES) as server:
        assert label(home, server, "--queries", "q.csv").code == 0
    assert [text for _, text, _ in stored(home)] == ["one way", "another way"]


def test_what_are_no_texts_is_named_by_its_line(home):
    (home / "queries.jsonl").write_text('{"query": "a", "paraphrases": 3}\n')
    assert "line 1: paraphrases are not texts: 3" in errors(vdistill("label", "catalog", "--queries", "queries.jsonl",
                                                                   "--teacher", "metadata", cwd=home))[0]  # fmt: skip


@pytest.mark.slow
def test_a_model_in_this_process_writes_them(home, tmp_path_factory):
    """It can say nothing but the letters A to I, spaces and ends of lines; no image is shown."""
    from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

    folder = vlm_models.qwen2_vl(tmp_path_factory.mktemp("vlm"))
    model, tokenizer = Qwen2VLForConditionalGeneration.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    vlm_models.prefer(model, tokenizer.convert_tokens_to_ids(["\u0120", "\u010a"]), 24.0)  # a space, a line's end
    model.save_pretrained(folder)
    command = ["label", "catalog", "--teacher", folder, "--queries", "queries.jsonl", "--budget", 40, "--holdout", 0.4,
               "--paraphrases", 2, "--json"]  # fmt: skip
    plan = vdistill(*command, "--dry-run", cwd=home).json
    assert (plan["paraphrase_calls"], plan["paraphrase_cost_usd"]) == (3, 0)
    done = vdistill(*command, cwd=home)
    assert done.code == 0, done.err
    assert (done.json["paraphrase_calls"], done.json["paraphrase_failed"]) == (3, 0)
    assert done.json["paraphrases"] == len(stored(home)) > 0
    assert set("".join(text for _, text, _ in stored(home))) <= set("ABCDEFGHI ")


def test_wordings_are_never_paid_for_twice_after_a_kill(home):
    """Whatever moment it dies at: what was answered is kept, and only what was under way is asked for again."""
    command = [sys.executable, "-m", "vdistill", "label", "catalog", "--teacher", "vlm", "--images-per-call", "4",
               "--queries", "queries.jsonl", "--budget", "40", "--paraphrases", "2", "--concurrency", "1",
               "--holdout", "0.4"]  # fmt: skip
    with ChatServer(writes("{query}, please", "{query} now"), delay=0.3) as server:
        process = subprocess.Popen([*command, "--endpoint", server.url], cwd=home, stderr=subprocess.DEVNULL)
        while server.calls < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {query for query, _, _ in stored(home)}
        assert kept
        assert label(home, server, "--paraphrases", 2).code == 0
        asked = wordings(server)
    assert all(asked.count(query) == 1 for query in kept)
    assert set(asked) == set(QUERIES[:3])


def test_wordings_without_spaces_are_wordings(home):
    with ChatServer(writes("庭いじりが好きな母への贈り物", "園芸好きの母に")) as server:
        label(home, server, "--paraphrases", 2)
    assert {text for _, text, _ in stored(home)} == {"庭いじりが好きな母への贈り物", "園芸好きの母に"}
