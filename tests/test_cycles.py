"""`distill --cycles`: teacher and student in turns, within one budget."""

import json

from shop import errors, vdistill, write_scores


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
    assert 200 < sum(turn["calls"] for turn in turns) <= 301
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


def test_a_teacher_without_cycles_is_wrong_usage(tmp_path, catalog, clip_folder):
    prepared(tmp_path, catalog, clip_folder)
    vdistill("label", cwd=tmp_path)
    assert vdistill("distill", "--budget", 10, cwd=tmp_path).code == 2


def test_a_teacher_that_is_not_there_is_an_error_in_one_line(tmp_path, catalog, clip_folder):
    prepared(tmp_path, catalog, clip_folder)
    error, _ = errors(vdistill("distill", "--cycles", 2, "--teacher", "table:none.csv", cwd=tmp_path))
    assert "none.csv" in error
