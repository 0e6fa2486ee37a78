"""`vdistill query` as people type it: mixtures, filters, words, and output for other programs."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from command_line import errors, index_drawn, vdistill, vdistill_process
from indexes import index_of, unit
from vdistill import Searcher, Term
from vdistill.errors import VdistillError
from vdistill.query.ranking import diversified, fused
from vdistill.query.terms import parse, spoken


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_folder):
    """A catalog with the backbone's index."""
    return index_drawn(tmp_path_factory.mktemp("home"), clip_folder)


def ids(done):
    assert done.code == 0, done.err
    return [hit["id"] for hit in done.json["results"]]


def ask(home, *arguments):
    return vdistill("query", *arguments, "--json", cwd=home)


# What a query is made of


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        (["red mug"], [("red mug", 1)]),
        (["red", "mug"], [("red mug", 1)]),
        (["2:cosy", "+", "lamp", "-", "plastic"], [("cosy", 2), ("lamp", 1), ("plastic", -1)]),
        (["-", "0.5:plastic", "+", "x"], [("plastic", -0.5), ("x", 1)]),
        (["3:10 to Yuma"], [("3:10 to Yuma", 1)]),
        (["gift + card"], [("gift + card", 1)]),
        (["T-shirt", "16:9", "x"], [("T-shirt 16:9 x", 1)]),
        (["it costs 3: much"], [("it costs 3: much", 1)]),
    ],
)
def test_words_become_terms(words, terms):
    assert [(term.what, term.weight) for term in parse(words)] == terms


def test_terms_are_spoken_as_they_are_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    words = ["2:cosy", "+", "photo.jpg", "-", "plastic"]
    assert spoken(parse(words)) == " ".join(words)
    assert parse(["-", "x"]) == (Term("x", -1.0),)


@pytest.mark.parametrize(
    ("words", "why"),
    [([""], "empty"), (["a", "+"], "empty"), (["a", "+", "-", "b"], "empty"), (["0:a", "+", "b"], "has the weight 0"),
     (["gone.jpg"], "no image gone.jpg")],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(words, why):
    with pytest.raises(VdistillError, match=why):
        parse(words)


def test_a_image_among_the_words_is_a_image(home):
    alone = ids(ask(home, "--image", "catalog/green_chair.png", "-k", 3))
    assert ids(ask(home, "catalog/green_chair.png", "-k", 3)) == alone
    assert alone[0] == "green_chair.png"
    far = ids(ask(home, "-k", 24, "-", "catalog/green_chair.png"))
    assert far[-1] == "green_chair.png"


def test_both_parts_of_a_mixture_count(home):
    with Searcher.open(home) as searcher:
        terms = [Term("red mug"), Term(home / "catalog" / "green_chair.png")]
        mixed = searcher.vector(terms)
        images = searcher.vectors(searcher.ids)
        text, image = (images @ searcher.vector([term]) for term in terms)
        both = images @ mixed
        correlation = np.corrcoef([both, text, image])
        assert correlation[0, 1] == pytest.approx(correlation[0, 2], abs=0.02), "text and image weigh alike"
        heavy = images @ searcher.vector([Term("red mug", 5.0), terms[1]])
        assert np.corrcoef(heavy, text)[0, 1] > np.corrcoef(heavy, image)[0, 1]
        without = images @ searcher.vector([terms[1], Term("red mug", -1.0)])
        assert np.corrcoef(without, text)[0, 1] < correlation[1, 2]
        with pytest.raises(VdistillError, match="cancel out"):
            searcher.vector([Term("red mug"), Term("red mug", -1.0)])


# Ranking


def test_fusion_prefers_what_stands_high_in_both():
    assert fused([["a", "b", "c"], ["c", "d", "a"]]) == ["a", "c", "b", "d"]
    assert fused([["b", "a"], []]) == ["b", "a"]


def test_diverse_results_are_not_copies():
    vectors = np.repeat(unit(4, 16), 5, axis=0)
    relevance = np.repeat([0.9, 0.8, 0.7, 0.1], 5)
    assert diversified(relevance, vectors, 3, 0.0) == [0, 1, 2]
    chosen = [place // 5 for place in diversified(relevance, vectors, 3, 0.5)]
    assert chosen[0] == 0
    assert len(set(chosen)) == 3
    assert len(diversified(relevance, vectors, 99, 0.5)) == 20
    assert diversified(np.array([1.0]), vectors[:1], 3, 1.0) == [0]


def test_hybrid_finds_words_that_the_vectors_miss(tmp_path):
    names = {7: "a rare zebrawood bowl", 8: "zebrawood"}
    with index_of(tmp_path, unit(2000, 32), metadata=lambda n: {"title": names.get(n, "thing"), "n": n}) as searcher:
        query = unit(1, 32, 5)[0]
        from vdistill.query.search import SearchOptions

        plain = searcher.hits(query, 10, SearchOptions(), "Zebrawoods!")
        mixed = searcher.hits(query, 10, SearchOptions(hybrid=True), "Zebrawoods!")
        assert {"00007", "00008"} <= {hit.id for hit in mixed}
        assert not {"00007", "00008"} & {hit.id for hit in plain}
        assert [hit.rank for hit in mixed] == list(range(1, 11))
        only = searcher.hits(query, 10, SearchOptions(hybrid=True, where="n != 8"), "zebrawood")
        assert "00007" in {hit.id for hit in only}
        assert "00008" not in {hit.id for hit in only}
        assert searcher.hits(query, 10, SearchOptions(hybrid=True), '"*) OR (') == plain


def test_a_least_score_may_leave_fewer(home):
    scores = [hit["score"] for hit in ask(home, "red mug", "-k", 24).json["results"]]
    done = ask(home, "red mug", "-k", 24, "--min-score", scores[4])
    assert [hit["score"] for hit in done.json["results"]] == [score for score in scores if score >= scores[4]]
    assert "items match" in done.err


def test_always_k_results_where_k_exist(tmp_path, monkeypatch):
    from vdistill.bundle import shards

    monkeypatch.setattr(shards, "FLAT", 200)
    vectors = unit(3000, 16)
    with index_of(tmp_path, vectors, lists=True, metadata=lambda n: {"n": n}) as searcher:
        query = vectors[0]
        far = np.argsort(vectors @ query)[:400]  # what fits the filter is what fits the query least
        expression = f"n IN ({', '.join(map(str, far))})"
        hits = searcher.search(query, 50, where=expression)
        assert [int(hit.id) for hit in hits] == sorted(
            far.tolist(), key=lambda n: (-round(float(vectors[n] @ query), 6), n)
        )[:50]


def test_diverse_and_hybrid_from_the_command_line(home):
    assert len(ids(ask(home, "red mug", "--hybrid", "--diverse", 0.4, "-k", 6))) == 6
    assert ids(ask(home, "red mug", "--hybrid", "-k", 24, "--where", "price < 8"))


# For other programs


def test_batch_gives_what_single_queries_give(home):
    texts = ["red mug", "a gift for a mother who loves gardening", "x", "green " * 100, "grün 🎁"]
    done = vdistill("query", "--batch", "-", "-k", 7, "--hybrid", cwd=home, stdin="\n".join([*texts, "", " "]) + "\n")
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["query"] for line in lines] == [text.strip() for text in texts]
    for line, text in zip(lines, texts, strict=True):
        assert line["results"] == ask(home, text, "-k", 7, "--hybrid").json["results"]
    assert "1 queries are longer than the model reads" in done.err


def test_paths_end_with_nul(home):
    copy = home / "catalog" / "with\nnew line.png"
    shutil.copyfile(home / "catalog" / "red_mug.png", copy)
    try:
        done = vdistill_process("query", "catalog/red_mug.png", "-k", 2, "--paths0", cwd=home)
        vdistill("index", "--model", "backbone", cwd=home)
        done = vdistill_process("query", "catalog/red_mug.png", "-k", 2, "--paths0", cwd=home)
        assert done.code == 0
        assert set(done.out.split("\0")) == {str(copy.resolve()), str((home / "catalog" / "red_mug.png").resolve()), ""}
    finally:
        copy.unlink()
        vdistill("index", "--model", "backbone", cwd=home)


def test_compare_shows_both(home):
    done = vdistill("query", "red mug", "--gallery", "page.html", "--compare", "-k", 2, cwd=home)
    assert done.code == 0, done.err
    assert (home / "page.html").read_text().count("<section>") == 2


@pytest.mark.parametrize(
    "flags",
    [
        ["--batch", "-", "--paths0"],
        ["x", "--compare"],
        ["x", "--paths0", "--json"],
        ["x", "--diverse", 2],
        ["--batch", "-", "x"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(home, flags):
    assert vdistill("query", *flags, cwd=home).code == 2


def test_images_need_a_terminal(home):
    error, hint = errors(vdistill("query", "x", "--show", cwd=home))
    assert "terminal" in error
    assert "--gallery" in hint


def test_images_are_shown_in_a_terminal(home):
    import fcntl
    import os
    import pty
    import struct
    import subprocess
    import sys
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 800, 800))
    command = [sys.executable, "-m", "vdistill", "query", "red mug", "-k", "2", "--show"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, cwd=home, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0, said.decode()
    text = said.decode()
    assert "1. " in text
    assert "▀" in text or "▄" in text or "█" in text


# The library


def test_the_library_answers_as_the_command(home):
    with Searcher.open(home / ".vdistill", "backbone") as searcher:
        hits = searcher.search("red mug", 5, where="price < 20")
        found = ask(home, "red mug", "-k", 5, "--where", "price < 20").json["results"]
        assert [(hit.id, str(hit.path), hit.score, dict(hit.metadata)) for hit in hits] == [
            (one["id"], one["path"], one["score"], one["metadata"]) for one in found
        ]
        np.testing.assert_array_equal(searcher.vector([Term("red mug", 3.0)]), searcher.encode(["red mug"])[0])
        assert searcher.search(home / "catalog" / "red_mug.png", 1)[0].id == "red_mug.png"
        with pytest.raises(VdistillError, match="empty"):
            searcher.search(" ")
        with pytest.raises(VdistillError, match="empty"):
            searcher.search([])


def test_a_search_imports_only_what_it_needs(home):
    heavy = ["torch", "transformers", "rich", "PIL", "numpy.ma", "scipy", "tarfile", "vdistill.inputs.listings"]
    program = "import sys; from vdistill.cli import main; code = main(['query', 'a red mug', '--quiet', '--json']); "
    program += f"sys.exit(code or ' '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_workspace_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VdistillError, match="no workspace"):
        Searcher.open(tmp_path)
