"""`bench`: figures, intervals, gates and the page, on indexes made of plain vectors."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from indexes import index_of
from true_vectors import HELD, HOLDOUT, IDS, ITEMS, QUERIES, TEXTS, TITLES, Vectors
from vdistill.bench import runs
from vdistill.bench.evaluate import bench
from vdistill.bench.gates import parse_gates
from vdistill.bench.report.page import Around, render, write_report
from vdistill.bench.report.table import bench_table
from vdistill.bench.speed.machine import Machine
from vdistill.bench.speed.measure import Speed
from vdistill.bench.speed.recall_speed import Build, Point, recall_speed
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics_table import metrics_table

METRICS = {metric for metric in metrics.METRICS if metric != "gap_closed"}


@pytest.fixture
def qrels(tmp_path):
    path = tmp_path / "shop.qrels"
    lines = []
    for query in QUERIES:
        best = sorted(HELD, key=lambda key: -float(TEXTS[query.text] @ ITEMS[key]))[:12]
        lines += [f"{query.id} 0 {key} {3 - place // 4}" for place, key in enumerate(best)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def models():
    return {"backbone": Vectors(0.5), "student": Vectors(0.1)}


def test_the_document_has_the_keys_of_the_contract(judged, models):
    document = json.loads(json.dumps(bench(models, judged).to_json(), allow_nan=False))
    assert list(document) == [
        "models",
        "ci95",
        "judge",
        "queries",
        "items",
        "gates",
        "p_values",
        "gained",
        "lost",
        "slices",
        "per",
        "products",
    ]
    assert list(document["models"]) == ["backbone", "bm25", "student", "teacher"]
    assert set(document["models"]["backbone"]) == METRICS
    assert set(document["models"]["student"]) == METRICS | {"gap_closed"}
    assert document["models"]["teacher"]["ndcg@10"] == 1
    assert (document["queries"], document["items"], document["gates"]) == (12, len(HELD), [])
    assert set(document["ci95"]) == {"backbone", "bm25", "student", "teacher", "student-backbone"}
    for model, found in document["models"].items():
        for metric, (low, high) in document["ci95"][model].items():
            assert low <= found[metric] <= high


def test_the_student_is_compared_query_by_query(judged, models):
    report = bench(models, judged)
    backbone, student = report.models["backbone"], report.models["student"]
    low, high = report.ci95["student-backbone"]["ndcg@10"]
    assert 0 < low < student["ndcg@10"] - backbone["ndcg@10"] < high
    assert 0 < student["gap_closed"] < 1
    assert report.verdict.startswith("The student ranks better than the backbone")


def test_equal_models_are_not_told_apart(judged):
    report = bench({"backbone": Vectors(0.3), "student": Vectors(0.3)}, judged)
    assert report.verdict.startswith("No difference between student and backbone can be shown")
    assert report.ci95["student-backbone"]["ndcg@10"] == (0, 0)


def test_a_worse_student_is_called_worse(judged, models):
    report = bench({"backbone": models["student"], "student": models["backbone"]}, judged)
    assert report.verdict.startswith("The student ranks worse")
    assert report.models["student"]["gap_closed"] < 0


def test_the_same_seed_gives_the_same_document(judged, models):
    assert bench(models, judged, seed=1).to_json() == bench(models, judged, seed=1).to_json()
    assert bench(models, judged, seed=1).ci95 != bench(models, judged, seed=2).ci95


@pytest.mark.parametrize("by_qrels", [False, True])
def test_no_training_query_and_no_training_item_is_touched(judged, models, qrels, by_qrels):
    bench(models, judged, qrels if by_qrels else None)
    held_out = {query.text for query in QUERIES if query.split == "heldout"}
    for model in models.values():
        assert model.asked == set(HELD)
        assert model.encoded == held_out | {TITLES[key] for key in HELD}


def test_by_qrels_the_teacher_is_no_longer_perfect(judged, models, qrels):
    report = bench(models, judged, qrels)
    assert report.held_out.judged_by == "shop.qrels"
    assert report.models["backbone"]["ndcg@10"] < report.models["teacher"]["ndcg@10"] < 1


def test_by_qrels_no_teacher_is_needed(database, models, qrels):
    report = bench(models, database, qrels)
    assert report.models["teacher"] is None
    assert "gap_closed" not in report.models["student"]
    assert "no row for the teacher: it was never asked these queries" in report.notes
    assert "nDCG@10" in render(report)


def test_without_judgments_there_is_nothing_to_measure(database, models):
    with pytest.raises(VdistillError, match="no held-out judgments"):
        bench(models, database)


def test_without_a_student_the_backbone_is_measured_and_gates_are_refused(judged, models):
    alone = {"backbone": models["backbone"]}
    report = bench(alone, judged)
    assert report.to_json()["models"]["student"] is None
    assert "no student yet: `vdistill distill` makes one" in report.notes
    assert "there is no student" in render(report)
    with pytest.raises(VdistillError, match="no student"):
        bench(alone, judged, gates=parse_gates(["mpr=0.5"]))


def test_items_that_one_of_the_indexes_lacks_are_left_out(judged):
    report = bench({"backbone": Vectors(0.5), "student": Vectors(0.1, ids=IDS[:90])}, judged)
    assert set(report.held_out.items) == set(HELD) & set(IDS[:90])


def test_gates_pass_and_fail(judged, models):
    report = bench(models, judged, gates=parse_gates(["mpr=0.5", " ndcg@10 = 0.999 "]))
    assert [gate["passed"] for gate in report.to_json()["gates"]] == [True, False]
    assert report.to_json()["gates"][1] == {
        "metric": "ndcg@10",
        "threshold": 0.999,
        "value": report.models["student"]["ndcg@10"],
        "passed": False,
    }
    assert [str(gate) for gate in report.failed] == [
        f"ndcg@10 of the student is {report.models['student']['ndcg@10']:.4f}, below 0.999"
    ]


def test_a_gate_without_a_value_fails(judged, database, models, qrels, tmp_path):
    with Database.open(tmp_path / "other.db") as other:
        other.remember("holdout", HOLDOUT)
        other.add_queries(QUERIES)
        (gate,) = bench(models, other, qrels, gates=parse_gates(["gap_closed=0.1"])).gates
    assert (gate.value, gate.passed) == (None, False)
    assert "has no value" in str(gate)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ndgc@10=0.6", "no metric 'ndgc@10'", "did you mean ndcg@10"),
        ("speed=1", "no metric 'speed'", "metrics: ndcg@10"),
        ("ndcg@10", "is not METRIC=VALUE", "ndcg@10=0.6"),
        ("=0.6", "is not METRIC=VALUE", "ndcg@10=0.6"),
        ("ndcg@10=high", "'high' is not a number", "ndcg@10=0.6"),
        ("ndcg@10=nan", "'nan' is not a number", "ndcg@10=0.6"),
    ],
)
def test_a_gate_that_cannot_be_read_is_an_error(text, message, hint):
    with pytest.raises(VdistillError, match=message) as error:
        parse_gates([text])
    assert hint in error.value.hint


class Links(HTMLParser):
    """Everything on a page that a browser would fetch, and every opened tag."""

    def __init__(self):
        super().__init__()
        self.outside, self.tags, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        fetched = {"src", "href", "xlink:href", "action", "data", "poster", "srcset"}
        self.outside += [value for name, value in attrs if name in fetched and not value.startswith("#")]


def test_the_page_holds_everything_itself(judged, models, workspace, tmp_path):
    path = tmp_path / "reports" / "bench.html"
    points = (Point(None, 1.0, 900.0, True), Point(16, 0.93, 2000.0, False), Point(64, 0.99, 1500.0, False))
    speed = Speed(
        "student", 120, 3.0, 1.0, 0.4, None, 80.0, Build(120, 5e3), points, 10**6, {"vectors": 10**5}, Machine.this()
    )
    report = bench(models, judged, gates=parse_gates(["mpr=0.5"]))
    epochs = [{"epoch": n, "loss": 2 - n / 10, "validation_ndcg@10": n / 10} for n in range(1, 5)]
    curve = [{"strength": n / 2, "ndcg@10": n / 4, "validation_literal_recall@1": 1 - n / 9} for n in range(3)]
    kept = [runs.keep(workspace, report, "x", number, passed=True) for number in (10, 20)]
    around = Around({"backbone": "<script>alert(1)</script>"}, speed, epochs, curve, 0.9, kept)
    write_report(report, path, around)
    page = path.read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert links.outside == []
    assert links.tags.count("svg") == 7
    assert not {"script", "link", "img", "iframe", "image"} & set(links.tags)
    assert len(links.ids) == len(set(links.ids))
    assert "@import" not in page
    assert "url(http" not in page
    assert report.verdict.replace("+", "&#43;") in page or report.verdict in page
    assert len(page) < 500_000


@pytest.mark.parametrize("lists", [False, True])
def test_ways_to_search_are_held_against_the_exact_answer(tmp_path, monkeypatch, lists):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with index_of(tmp_path, vectors, lists=lists) as searcher:
        points, build = recall_speed(searcher.store, vectors[:20])
        assert [point.width for point in points] == [None, 16, 32, 64, 128, 256]
        assert [point.width for point in points if point.used] == [64 if lists else None]
        assert points[0].recall == 1
        assert points[-1].recall > 0.95
        assert min(point.queries_per_second for point in points) > 0
        assert build.vectors == 600
        if lists:
            assert [shard.width for shard in searcher.store.shards] == [64], "as it was before"


def test_an_unwritable_page_is_an_error(judged, models, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "bench.html", tmp_path):
        with pytest.raises(VdistillError, match="cannot write"):
            write_report(bench(models, judged), path)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(judged, models, qrels, width):
    console = Console(width=width, record=True, file=io.StringIO())
    report = bench(models, judged, qrels)
    console.print(bench_table(report))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    lines = [line for line in text.splitlines() if "ndcg@10" in line]
    assert f"{report.models['student']['ndcg@10']:.3f}" in lines[0]
    assert ("…" in lines[0]) == (width == 120)
    assert "shop.qrels" in text


def test_a_part_of_a_table_has_no_rows_that_none_of_its_models_has():
    models = {f"model {n}": {"ndcg@10": 0.5} for n in range(6)} | {"student": {"ndcg@10": 0.6, "gap_closed": 0.7}}
    console = Console(width=60, file=io.StringIO())
    console.print(metrics_table(models, "held out"))
    printed = console.file.getvalue()
    assert printed.count("ndcg@10") > 1
    assert printed.count("gap_closed") == 1


def test_a_table_without_intervals_or_models_is_plain():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(metrics_table({"backbone": {"mpr": 0.5}, "student": None}, "held out"))
    assert "0.500" in (text := console.export_text())
    assert "student" not in text


def test_the_machine_is_described(monkeypatch):
    here = Machine.this()
    assert here.cores >= 1
    assert here.cpu
    if here.instructions not in ("", "Arm"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
        assert "AVX2" in Machine.this().describe()


def test_long_names_of_models_stand_in_lines():
    console = Console(width=80, record=True, file=io.StringIO())
    names = ["backbone", "paraphrase-multilingual-mpnet-base-v2", "bm25", "student", "student + rerank@24", "teacher"]
    figures = {"ndcg@10": 0.5, "mpr": 0.6}
    ci95 = {name: {"ndcg@10": (0.4, 0.6), "mpr": (0.5, 0.7)} for name in [*names, "student-backbone"]}
    console.print(metrics_table(dict.fromkeys(names, figures), "held out", ci95))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "rerank@24" in text
    assert text.count("0.500") == len(names)
