"""What `bench` keeps, and what it says to other programs: runs, gates, slices, JUnit, Markdown."""

import json
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from command_line import errors, vdistill
from true_vectors import Vectors
from vdistill.bench import robustness, runs
from vdistill.bench.baselines import TextModel, labels
from vdistill.bench.evaluate import bench
from vdistill.bench.gates import check_gates, no_worse, parse_gates
from vdistill.bench.graded import Scored, largest_changes
from vdistill.bench.report.outputs import markdown
from vdistill.bench.trec_output import write_runs
from vdistill.bundle.text_encoder import TextEncoder
from vdistill.errors import VdistillError
from vdistill.workspace import create


def report_of(judged, noise, **more):
    return bench({"backbone": Vectors(0.5), "student": Vectors(noise)}, judged, **more)


# Against an earlier run


def test_the_same_student_is_no_worse(judged, workspace):
    report = report_of(judged, 0.1)
    outcomes = no_worse(report, runs.keep(workspace, report, "abc", passed=True))
    assert {one.metric for one in outcomes} == {"ndcg@10", "mpr", "literal_recall@10"}
    assert all(one.passed for one in outcomes)


def test_a_worse_student_is_named(judged, workspace):
    kept = runs.keep(workspace, report_of(judged, 0.1), "abc", passed=True)
    outcomes = {one.metric: one for one in no_worse(report_of(judged, 3.0), kept)}
    assert not outcomes["ndcg@10"].passed
    assert f"is worse than in run {kept.id}" in str(outcomes["ndcg@10"])
    assert all(one.passed for one in no_worse(report_of(judged, 0.01), kept))


def test_runs_are_found_by_name(judged, workspace, tmp_path):
    with pytest.raises(VdistillError, match="no earlier run"):
        runs.pick(workspace, "last")
    worse, better = (runs.keep(workspace, report_of(judged, noise), "x", passed=True) for noise in (1.0, 0.05))
    again = runs.keep(workspace, report_of(judged, 0.5), "y", passed=True)
    assert {run.id for run in runs.history(workspace)} == {worse.id, better.id, again.id}
    assert runs.pick(workspace, "best") == better
    assert runs.pick(workspace, worse.id) == worse
    assert runs.pick(workspace, str(workspace.reports / "runs" / f"{better.id}.json")) == better
    with pytest.raises(VdistillError, match="there is no run 'nonsense'") as caught:
        runs.pick(workspace, "nonsense")
    assert better.id in caught.value.hint or worse.id in caught.value.hint
    (workspace.reports / "runs" / "9.json").write_text("{")
    assert len(runs.history(workspace)) == 3
    with pytest.raises(VdistillError, match=r"9\.json"):
        runs.pick(workspace, "last")


def test_what_the_earlier_run_had_must_still_be_there(judged, workspace):
    report = report_of(judged, 0.1)
    kept = runs.keep(workspace, report, "x", passed=True)
    student = {name: values for name, values in report.values["student"].items() if not name.startswith("literal")}
    lost = {one.metric: one for one in no_worse(replace(report, values={**report.values, "student": student}), kept)}
    assert not lost["literal_recall@10"].passed
    assert "no value" in str(lost["literal_recall@10"])
    with pytest.raises(VdistillError, match="nothing to compare"):
        no_worse(report, replace(kept, models={"backbone": kept.models["backbone"]}))


def test_other_models_never_hide_a_row():
    taken = ("backbone", "student", "teacher", "bm25")
    assert labels(["openai/clip", "a/merged"], taken) == ["clip", "merged"]
    assert labels(["a/merged", "b/merged"], taken) == ["a/merged (against)", "b/merged (against)"]
    assert labels(["student"], taken) == ["student (against)"]


def test_runs_of_another_judge_are_not_compared(judged, workspace):
    report = report_of(judged, 0.1)
    kept = replace(runs.keep(workspace, report, "x", passed=True), judged_by="somebody else")
    with pytest.raises(VdistillError, match="judged by somebody else"):
        no_worse(report, kept)


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema_version": 1, "id": 3}', '{"schema_version": 99}', "no json"])
def test_a_file_that_is_no_run_is_an_error(workspace, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(VdistillError):
        runs.pick(workspace, str(tmp_path / "run.json"))


def test_runs_with_other_candidates_are_not_compared(judged, workspace):
    report = report_of(judged, 0.1)
    kept = replace(runs.keep(workspace, report, "x", passed=True), only_judged=True)
    assert not kept.comparable(report.held_out)
    with pytest.raises(VdistillError, match="ranked only what has a grade, this one all items"):
        no_worse(report, kept)
    alike = replace(report, held_out=replace(report.held_out, only_judged=True))
    assert runs.keep(workspace, alike, "x", passed=True).only_judged


def test_models_with_similar_names_are_written_to_files_of_their_own(judged, tmp_path):
    rows = {name: Scored(Vectors(noise)) for name, noise in (("a b", 0.1), ("a_b", 0.2), ("A:b", 0.3))}
    paths = write_runs(report_of(judged, 0.1, rankers=rows), tmp_path)
    assert {"a_b.trec", "a_b-2.trec", "A_b-3.trec"} <= {path.name for path in paths}
    assert len({path.read_text() for path in paths}) == len(paths)


class Grouped(Vectors):
    """Two images of each product, in the order of their ids."""

    def metadata(self, ids):
        return [{"sku": int(key[4:7]) // 2} for key in ids]


def test_a_product_is_found_by_any_of_its_images(judged):
    report = bench({"backbone": Grouped(0.5), "student": Grouped(0.1)}, judged)
    for one in report.examples:
        skus = {int(key[4:7]) // 2 for key in one.winners}
        held = [key for key in report.held_out.items if int(key[4:7]) // 2 in skus]
        assert sorted(one.winners) == held
    assert any(len(one.winners) > 1 for one in report.examples)


class Textless(Vectors):
    def metadata(self, ids):
        return [{} for _ in ids]


class Words:
    """Stands for a text encoder."""

    source = "words"

    def queries(self, texts):
        return np.ones((len(texts), 3), np.float32)

    documents = queries


def test_a_text_encoder_finds_nothing_where_no_item_has_text(judged):
    report = bench({"backbone": Textless(0.5)}, judged, rankers={"words": TextModel(Words())})
    assert report.models["words"]["recall@10"] == 0
    assert any("have no text, and are never found" in note for note in report.notes)


def kept_of(judged, workspace, noise, **changes):
    """A run of a student with so much noise, as a gate or another judge may have left it."""
    report = report_of(judged, noise)
    gates = tuple(replace(gate, passed=changes.pop("passed", True)) for gate in parse_gates_of(report))
    held_out = replace(report.held_out, **changes)
    passed = all(gate.passed for gate in gates)
    return runs.keep(workspace, replace(report, gates=gates, held_out=held_out), "x", passed=passed)


def parse_gates_of(report):
    return check_gates(parse_gates(["mpr=0"]), report.models)


def test_a_run_that_failed_its_gates_is_neither_last_nor_best(judged, workspace):
    good = kept_of(judged, workspace, 0.3)
    failed = kept_of(judged, workspace, 0.05, passed=False)
    assert runs.pick(workspace, "last") == runs.pick(workspace, "best") == good
    assert runs.pick(workspace, failed.id) == failed, "by its name it can be had"
    assert [run.passed for run in runs.history(workspace)] == [True, False]


def test_a_run_of_another_judge_is_neither_last_nor_best(judged, workspace):
    good = kept_of(judged, workspace, 0.3, prompt="v1")
    kept_of(judged, workspace, 0.05, judged_by="somebody else")
    kept_of(judged, workspace, 0.05, prompt="v2")
    held_out = replace(report_of(judged, 0.3).held_out, prompt="v1")
    assert runs.pick(workspace, "last", held_out) == runs.pick(workspace, "best", held_out) == good
    with pytest.raises(VdistillError, match="no earlier run has a student and met its gates, and was judged by nobody"):
        runs.pick(workspace, "last", replace(held_out, judged_by="nobody"))


def test_a_run_without_a_student_is_neither_last_nor_best(judged, workspace):
    runs.keep(workspace, bench({"backbone": Vectors(0.5)}, judged), "", passed=True)
    for name in ("last", "best"):
        with pytest.raises(VdistillError, match="no earlier run has a student"):
            runs.pick(workspace, name)


def test_runs_of_before_count_as_passed(judged, workspace):
    kept = kept_of(judged, workspace, 0.3)
    path = workspace.reports / "runs" / f"{kept.id}.json"
    facts = json.loads(path.read_text())
    del facts["passed"], facts["prompt"]
    path.write_text(json.dumps(facts))
    assert runs.pick(workspace, "last").passed


def test_noise_on_the_student_fails_and_none_passes(judged, workspace):
    kept = runs.keep(workspace, report_of(judged, 0.1), "abc", passed=True)
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(20):
        worse = Vectors(0.1)
        for key, vector in worse._vectors.items():
            noisy = vector + 0.4 * rng.normal(size=vector.shape)
            worse._vectors[key] = noisy / np.linalg.norm(noisy)
        report = bench({"backbone": Vectors(0.5), "student": worse}, judged)
        failed += not all(one.passed for one in no_worse(report, kept))
    assert failed >= 19


# Gates on gains


def test_gains_are_gated_too(judged):
    report = report_of(judged, 0.1, gates=parse_gates(["gain:ndcg@10=0.01", "gain:mpr=0.99"]))
    met, missed = report.gates
    assert met.passed
    assert met.value == pytest.approx(report.models["student"]["ndcg@10"] - report.models["backbone"]["ndcg@10"])
    assert not missed.passed
    assert str(missed).startswith("mpr gained over the backbone is")
    assert missed.to_json()["metric"] == "gain:mpr"


@pytest.mark.parametrize("text", ["gain:ndgc@10=0.1", "gain:gap_closed=0.1", "gain:=1"])
def test_gains_of_nothing_are_refused(text):
    with pytest.raises(VdistillError):
        parse_gates([text])


# Where it fails


def test_largest_changes_are_the_queries_that_changed_most(judged):
    report = report_of(judged, 0.1)
    gained, lost = largest_changes(report, 3), largest_changes(report, -12)
    assert all(one.student > one.backbone for one in gained)
    assert [one.student - one.backbone for one in gained] == sorted(
        (o.student - o.backbone for o in gained), reverse=True
    )
    assert all(one.student < one.backbone for one in lost)
    assert not largest_changes(bench({"backbone": Vectors(0.5)}, judged), 3)


def test_slices_cover_all_queries(judged, monkeypatch):
    colours = ["red", "blue", "green"]
    monkeypatch.setattr(
        Vectors, "metadata", lambda self, ids: [{"colour": colours[len(key) % 3 or int(key[-5]) % 3]} for key in ids]
    )
    report = report_of(judged, 0.1, columns=["colour"])
    length, colour = report.slices
    for one in (length, colour):
        assert sum(group.queries for group in one.groups) == len(report.held_out.judged)
    assert {group.name for group in colour.groups} <= set(colours)
    with pytest.raises(VdistillError, match="no column 'color'") as caught:
        report_of(judged, 0.1, columns=["color"])
    assert "colour" in caught.value.hint


def test_words_are_a_baseline(judged):
    report = report_of(judged, 0.1)
    assert 0 <= report.models["bm25"]["ndcg@10"] < report.models["student"]["ndcg@10"]


def test_markdown_holds_no_markup_of_others(judged):
    report = report_of(judged, 0.1, gates=parse_gates(["ndcg@10=0.1", "mpr=1"]))
    text = markdown(report)
    assert text.startswith("## vdistill bench\n\nThe student ranks better")
    assert "| metric | backbone | bm25 | student | teacher | gain | p |" in text
    assert text.count("✅") == text.count("❌") == 1
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


# The command


def test_a_run_is_kept_shown_and_held_against_the_next(home):
    first = vdistill("bench", "--json", "--slice", "title", cwd=home)
    assert first.code == 0, first.err
    assert {"bm25", "student"} <= first.json["models"].keys()
    gated = vdistill("bench", "--no-worse-than", "last", "--fail-under", "gain:ndcg@10=-1", "--junit", "gates.xml",
                     "--summary", "summary.md", "--json", cwd=home)  # fmt: skip
    assert gated.code == 0, gated.err
    assert {gate.get("against") for gate in gated.json["gates"]} == {None, first.json["run"]}
    suite = ET.parse(home / "gates.xml").getroot().find("testsuite")  # our own file
    assert len(suite.findall("testcase")) == len(gated.json["gates"])
    vdistill("bench", "--summary", "summary.md", cwd=home)
    assert (home / "summary.md").read_text().count("## vdistill bench") == 2
    trend = vdistill("bench", "--history", "--json", cwd=home).json["runs"]
    ours = [run["id"] for run in trend]  # behind those of other tests on this shop
    assert ours[ours.index(first.json["run"]) :][:2] == [first.json["run"], gated.json["run"]]
    shown = vdistill("bench", "--history", cwd=home).out
    assert "judged by table:scores.csv" in " ".join(shown.split())
    assert first.json["run"] in shown


def test_a_gate_that_is_not_met_is_exit_3_with_one_line(home):
    done = vdistill("bench", "--fail-under", "gain:mpr=0.99", "--junit", "failed.xml", cwd=home)
    assert done.code == 3
    assert "mpr gained over the backbone" in done.err
    assert "<failure" in (home / "failed.xml").read_text()


def test_another_model_stands_in_the_table(home, siglip_folder):
    done = vdistill("bench", "--against", siglip_folder, "--json", cwd=home)
    assert done.code == 0, done.err
    assert siglip_folder.name in done.json["models"]
    error, _ = errors(vdistill("bench", "--against", home / "nothing", cwd=home))
    assert "nothing" in error


def test_speed_is_measured_with_the_parts_of_a_search(home):
    done = vdistill("bench", "--speed", "--json", "--report", "speed.html", cwd=home)
    assert done.code == 0, done.err
    speed = done.json["speed"]
    assert speed["images_per_second"] > 0
    middle, lowest, highest = speed["times_float32"]
    assert 0 < lowest <= middle <= highest
    assert 0 < speed["help_s"] < speed["cold_query_s"] + 5
    assert speed["versions"]["usearch"]
    assert 10**7 < speed["cold_query_bytes"] < 5 * 10**8, "of the query alone, not of this process"
    assert sum(speed["disk_bytes"].values()) == speed["index_bytes"]
    assert speed["recall"][0]["width"] is None
    page = (home / "speed.html").read_text()
    assert "Recall and speed of ways to search" in page
    assert "images per second" in page


def test_history_of_nothing_is_an_error(home, tmp_path):
    create(tmp_path / ".vdistill")
    error, hint = errors(vdistill("bench", "--history", cwd=tmp_path))
    assert "no run" in error
    assert "vdistill bench" in hint


# Robustness


def test_queries_are_reworded_as_people_do():
    query = "A gift for a mother who loves gardening!"
    assert robustness.plain(query) == "a gift for a mother who loves gardening"
    assert robustness.keywords(query) == "gift mother who loves gardening"
    assert robustness.keywords("for the") == "for the"
    assert query in robustness.chatty(query)
    assert robustness.mistyped("tea") == "tea"
    typo = robustness.mistyped(query)
    assert typo != query
    assert sorted(typo) == sorted(query)
    assert robustness.mistyped(query) == typo


def test_changes_are_measured_for_both_models(home):
    done = vdistill("bench", "--robustness", "--json", "--report", "robust.html", cwd=home)
    assert done.code == 0, done.err
    rows = done.json["robustness"]
    assert {row["model"] for row in rows} == {"backbone", "student"}
    assert len(rows) == 2 * (len(robustness.WORDINGS) + len(robustness.CORRUPTED))
    for row in rows:
        assert row["before"] == pytest.approx(done.json["models"][row["model"]]["ndcg@10"])
    changed = {(row["change"], row["model"]): row for row in rows}
    assert changed["small letters, no punctuation", "student"]["difference"] == 0, "the queries are so already"
    assert any(row["difference"] for row in rows), "something that was done to queries or images is felt"
    page = (home / "robust.html").read_text()
    assert "JPEG of quality 20" in page
    assert page.count("data:image/jpeg;base64,") > 10
    assert "a typing mistake" in vdistill("bench", "--robustness", cwd=home).out


def test_an_audit_stands_on_the_page(home):
    done = vdistill(
        "label", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--audit", 60, "--json", cwd=home
    )
    assert done.code == 0, done.err
    assert vdistill("bench", "--report", "audited.html", cwd=home).code == 0
    page = (home / "audited.html").read_text()
    assert "Audits of teachers" in page
    assert done.json["reason"].split()[0] in page


def test_what_student_and_backbone_read_is_encoded_once(home, monkeypatch):
    given, encode = [], TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, texts: given.extend(texts) or encode(self, texts))
    assert vdistill("bench", "--json", cwd=home).code == 0
    asked = (home / "queries.txt").read_text().splitlines()
    counted = Counter(text for text in given if text in asked)
    assert counted
    assert set(counted.values()) == {1}
