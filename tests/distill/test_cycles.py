"""`distill --cycles`: teacher and student in turns, within one budget."""

import json
import threading

import pytest

from chat_server import ChatServer, completion, interrupt_after
from command_line import QUERIES, errors, vdistill, write_scores


def prepared(tmp_path, catalog, backbone):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    (tmp_path / "vdistill.toml").write_text(
        f'backbone = "{backbone}"\n[label]\ncatalog = "catalog"\nqueries = "queries.txt"\n'
        'teacher = "table:scores.csv"\nimages-per-call = "4"\nholdout = 0.4\n'
    )


def test_label_and_distill_take_turns_within_one_budget(tmp_path, catalog, clip_folder):
    prepared(tmp_path, catalog, clip_folder)
    done = vdistill("distill", "--cycles", 3, "--budget", 301, "--epochs", 2, "--rank", 4, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    turns = done.json["cycles"]
    assert [turn["cycle"] for turn in turns] == [1, 2, 3]
    assert sum(turn["calls"] for turn in turns) <= 301
    # How many questions of a cycle are new depends on what its student prefers.
    assert all(90 <= turn["calls"] + turn["reused"] <= 101 for turn in turns), turns
    assert all({"backbone", "student"} == set(turn["heldout"]) for turn in turns)
    kept = [json.loads(line) for line in (tmp_path / ".vdistill" / "reports" / "cycles.jsonl").read_text().splitlines()]
    assert [turn["heldout"] for turn in kept] == [turn["heldout"] for turn in turns]
    shown = vdistill("distill", "--cycles", 2, "--budget", 20, "--epochs", 1, "--rank", 2, cwd=tmp_path)
    assert "cycle 2" in shown.out
    assert "cycle 1 of 2: up to 10 calls" in shown.err


def test_the_second_cycle_is_guided_by_the_first_student(tmp_path, catalog, clip_folder, monkeypatch):
    prepared(tmp_path, catalog, clip_folder)
    guided = []
    import vdistill.label.guide as guide

    real = guide.scores
    monkeypatch.setattr(guide, "scores", lambda *a: (guided.append(a[0] is not None), real(*a))[1])
    done = vdistill("distill", "--cycles", 2, "--budget", 60, "--epochs", 1, "--rank", 2, cwd=tmp_path)
    assert done.code == 0, done.err
    assert guided == [True]


@pytest.mark.parametrize("after", [pytest.param(20, marks=pytest.mark.slow), 70])
def test_interrupted_cycles_go_on_within_one_budget_and_finished_ones_ask_nothing(
    tmp_path, catalog, clip_folder, after
):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES))
    command = ["distill", "--cycles", 2, "--budget", 120, "--epochs", 1, "--rank", 2, "--backbone", clip_folder,
               "--json"]  # fmt: skip
    answers = [
        completion(logprobs={letter: -0.3 - 0.7 * ((number * 7 + at * 5) % 4) for at, letter in enumerate("ABCD")})
        for number in range(200)
    ]
    with ChatServer(*answers, delay=0.005) as server:
        (tmp_path / "vdistill.toml").write_text(
            '[label]\ncatalog = "catalog"\nqueries = "queries.txt"\nteacher = "vlm"\nimages-per-call = "4"\n'
            f'holdout = 0.4\nendpoint = "{server.url}"\n'
        )
        watcher = threading.Thread(target=interrupt_after, args=(server, after))
        watcher.start()
        stopped = vdistill(*command, cwd=tmp_path)
        watcher.join()
        assert stopped.code == 130, stopped.err
        done = vdistill(*command, cwd=tmp_path)
        assert done.code == 0, done.err
        assert ("continuing with cycle 2" in done.err) == (after > 60)
        assert [turn["cycle"] for turn in done.json["cycles"]] == [1, 2]
        assert 70 < server.calls <= 120
        assert server.repeated == 0
        before = server.calls
        again = vdistill(*command, cwd=tmp_path)
        assert "finished already" in again.err
        assert again.json["cycles"] == done.json["cycles"]
        assert again.json["heldout"] == done.json["heldout"]
        assert server.calls == before


def test_a_teacher_without_cycles_is_wrong_usage(tmp_path, catalog, clip_folder):
    prepared(tmp_path, catalog, clip_folder)
    vdistill("label", cwd=tmp_path)
    assert vdistill("distill", "--budget", 10, cwd=tmp_path).code == 2


def test_a_teacher_that_is_not_there_is_an_error_in_one_line(tmp_path, catalog, clip_folder):
    prepared(tmp_path, catalog, clip_folder)
    error, _ = errors(vdistill("distill", "--cycles", 2, "--teacher", "table:none.csv", cwd=tmp_path))
    assert "none.csv" in error
