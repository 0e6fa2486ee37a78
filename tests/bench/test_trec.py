"""TREC run files: rankings of any engine in the table, and our own for the tools of others."""

import gzip
import shutil

import pytest
import pytrec_eval

from command_line import errors, vdistill
from drawings import COLOURS, SHAPES
from trainings import label_shop
from vdistill.database import Database


@pytest.fixture(scope="module")
def written(home, tmp_path_factory):
    """The rankings and the judgments of a run of `bench`, and what it printed."""
    folder = tmp_path_factory.mktemp("trec")
    done = vdistill("bench", "--write-run", folder, "--write-qrels", folder / "qrels.txt", "--json", cwd=home)
    assert done.code == 0, done.err
    return folder, done.json


@pytest.fixture
def queries(home):
    with Database.open(home / ".vdistill" / "vdistill.db", write=False) as database:
        return database.queries("heldout")


def lines_of(path):
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


def bench(home, *arguments):
    done = vdistill("bench", *arguments, "--json", cwd=home)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("model", ["backbone", "student", "bm25"])
def test_trec_eval_sees_the_same_figures_in_what_is_written(written, model):
    folder, found = written
    qrels, run = {}, {}
    for query, _, item, grade in lines_of(folder / "qrels.txt"):
        qrels.setdefault(query, {})[item] = int(grade)
    for query, _, item, _, score, _ in lines_of(folder / f"{model}.trec"):
        run.setdefault(query, {})[item] = float(score)
    measured = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "recall_10", "recip_rank"}).evaluate(run)
    for ours, theirs in (("ndcg@10", "ndcg_cut_10"), ("recall@10", "recall_10"), ("mrr", "recip_rank")):
        mean = sum(measured[query][theirs] for query in measured) / len(qrels)
        assert found["models"][model][ours] == pytest.approx(mean, abs=1e-9), ours


def test_a_run_that_is_read_back_has_the_figures_that_it_was_written_with(written, home, tmp_path):
    folder, found = written
    zipped = tmp_path / "es.trec.gz"
    zipped.write_bytes(gzip.compress((folder / "student.trec").read_bytes()))
    done = bench(home, "--run", zipped, "--run", folder / "bm25.trec")
    assert done.json["models"]["es"] == pytest.approx(
        {metric: value for metric, value in found["models"]["student"].items()
         if not metric.startswith("literal") and metric != "gap_closed"}
    )  # fmt: skip
    again = done.json["models"][f"{folder / 'bm25.trec'} (against)"]
    of_ties = ("kendall_tau", "pairwise_accuracy")  # which a file does not have
    bm25 = done.json["models"]["bm25"]
    assert {key: again[key] for key in bm25 if key not in of_ties} == pytest.approx(
        {key: value for key, value in bm25.items() if key not in of_ties}
    )


def test_queries_and_products_are_found_by_other_names(written, home, tmp_path, queries):
    folder, found = written
    text_of = {query.id: query.text for query in queries}
    rows = lines_of(folder / "student.trec")
    by_text = "".join(f"{text_of[q]} Q0 {item} 1 {score} x\n" for q, _, item, _, score, _ in rows)
    quoted = "".join(
        f"{text_of[q].replace(' ', '%20')}\t0\t{item}\t1\t{score}\tx y\n" for q, _, item, _, score, _ in rows
    )
    for text in (by_text, quoted):
        (tmp_path / "other.txt").write_text(text)
        done = bench(home, "--run", tmp_path / "other.txt")
        assert done.json["models"]["other"]["ndcg@10"] == pytest.approx(found["models"]["student"]["ndcg@10"])


def test_what_an_engine_did_not_find_brings_nothing(written, home, tmp_path):
    folder, found = written
    rows = lines_of(folder / "student.trec")
    first = rows[0][0]
    (tmp_path / "short.trec").write_text(
        "".join(f"{' '.join(row)}\n" for row in rows if row[0] == first and row[3] < "3")
    )
    done = bench(home, "--run", tmp_path / "short.trec")
    assert 0 < done.json["models"]["short"]["ndcg@10"] < 1 / found["queries"] + 1e-9
    assert f"has nothing for {found['queries'] - 1} of {found['queries']} queries" in done.err


def test_unknown_names_are_counted_and_the_first_is_named(written, home, tmp_path):
    folder, _ = written
    path = tmp_path / "odd.trec"
    path.write_text((folder / "student.trec").read_text() + "zebra Q0 red_mug.png 1 2 x\n9999 Q0 nothing.jpg 1 2 x\n")
    done = bench(home, "--run", path)
    assert "2 of the queries in odd.trec are not known, e.g. '9999'" in done.err
    assert "1 of the items in odd.trec are not known, e.g. 'nothing.jpg'" in done.err


def test_the_score_decides_not_the_rank(written, home, tmp_path):
    folder, found = written
    turned = [[*row[:3], str(1000 - int(row[3])), *row[4:]] for row in lines_of(folder / "student.trec")]
    (tmp_path / "turned.trec").write_text("".join(f"{' '.join(row)}\n" for row in turned))
    done = bench(home, "--run", tmp_path / "turned.trec")
    assert done.json["models"]["turned"]["ndcg@10"] == pytest.approx(found["models"]["student"]["ndcg@10"])
    assert "ranks and scores contradict each other; the scores count" in done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no results"),
        ("1 Q0 a.png 1 0.5 x\n2 Q0 b.png", "line 2: 3 columns instead of 6"),
        ("1 Q0 a.png 1 nan x\n", "line 1: the score 'nan' is not a number"),
        ("1 Q0 a.png 1 inf x\n", "line 1: the score 'inf' is not a number"),
        ("1 Q0 a.png 1 much x\n", "line 1: the score 'much' is not a number"),
        ("1 Q0 a.png 1 0.5 x\n1 Q0 a.png 2 0.4 x\n", "'a.png' occurs twice for query '1'"),
        ("nobody Q0 red_mug.png 1 0.5 x\n", "none of the queries in bad.trec is known, e.g. 'nobody'"),
        (None, "cannot read"),
    ],
)
def test_a_run_file_with_a_mistake_is_one_error(home, tmp_path, content, message):
    path = tmp_path / "bad.trec"
    if content is not None:
        path.write_text(content)
    error, hint = errors(vdistill("bench", "--run", path, cwd=home))
    assert message in error
    assert hint


def test_a_run_of_unknown_items_alone_is_an_error(home, tmp_path, queries):
    (tmp_path / "bad.trec").write_text(f"{queries[0].id} Q0 nowhere.png 1 0.5 x\n")
    error, _ = errors(vdistill("bench", "--run", tmp_path / "bad.trec", cwd=home))
    assert "none of the items in bad.trec is known, e.g. 'nowhere.png'" in error


def test_a_damaged_archive_is_one_error(home, tmp_path):
    (tmp_path / "cut.trec.gz").write_bytes(gzip.compress(b"1 Q0 a.png 1 0.5 x\n" * 100)[:-20])
    error, _ = errors(vdistill("bench", "--run", tmp_path / "cut.trec.gz", cwd=home))
    assert "cannot read" in error


def test_an_engine_that_indexes_products_is_matched_by_sku(tmp_path, clip_folder):
    label_shop(tmp_path, clip_folder, sku=lambda colour, shape, size: f"{colour} {shape}")
    bench(tmp_path, "--write-run", ".")
    products = {line[2] for line in lines_of(tmp_path / "backbone.trec")}
    assert products == {f"{colour}%20{shape}" for colour in COLOURS for shape in SHAPES} & products, "not images"
    shutil.copy(tmp_path / "backbone.trec", tmp_path / "engine.trec")
    done = bench(tmp_path, "--run", "engine.trec")
    assert done.json["models"]["engine"]["ndcg@10"] == pytest.approx(done.json["models"]["backbone"]["ndcg@10"])
    assert "not known" not in done.err


def test_written_qrels_are_read_back(tmp_path, clip_folder):
    label_shop(tmp_path, clip_folder, sku=lambda colour, shape, size: f"{colour} {shape}")
    first = bench(tmp_path, "--write-qrels", "q.txt")
    assert "%20" in (tmp_path / "q.txt").read_text()
    again = bench(tmp_path, "--qrels", "q.txt", "--only-judged")
    assert again.json["queries"] == first.json["queries"]
    assert again.json["models"]["backbone"]["ndcg@10"] == pytest.approx(first.json["models"]["backbone"]["ndcg@10"])
    assert "not known" not in again.err
    with Database.open(tmp_path / ".vdistill" / "vdistill.db", write=False) as database:
        texts = {query.id: query.text for query in database.queries("heldout")}
    lines = [(row[0].replace("%20", " "), row[2], row[3]) for row in lines_of(tmp_path / "q.txt")]
    named = [(texts.get(query, query).replace(" ", "%20"), item, grade) for query, item, grade in lines]
    (tmp_path / "texts.txt").write_text("".join(f"{query} 0 sku={item} {grade}\n" for query, item, grade in named))
    by_text = bench(tmp_path, "--qrels", "texts.txt", "--only-judged")
    assert by_text.json["models"]["backbone"] == again.json["models"]["backbone"]
