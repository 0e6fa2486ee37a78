"""A whole session through the public door: label, distill, index, query, bench on a small shop."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModel

from command_line import QUERIES, sides_of, vdistill, write_scores
from vdistill.database import Database

LABEL_KEYS = ["teacher", "queries", "items", "calls", "judgments", "reused", "failed", "images_shown", "tokens",
              "thought_tokens", "cost_usd", "seconds", "paraphrases", "paraphrase_calls", "paraphrase_failed",
              "paraphrase_tokens", "paraphrase_cost_usd", "batch_submitted", "batch_waiting", "batch_jobs",
              "coverage_before", "coverage", "none_asked", "rejected", "skipped"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, drawn_catalog, vision_text_folder):
    """A folder with everything done once; what each command printed."""
    home = tmp_path_factory.mktemp("session")
    shutil.copytree(drawn_catalog, home / "catalog")
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    steps = {
        "label": ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt",
                  "--backbone", vision_text_folder, "--images-per-call", 4, "--holdout", 0.4, "--json"],
        "distill": ["distill", "--epochs", 3, "--rank", 4, "--lr", 0.001, "--json"],
        "index": ["index", "--json"],
        "query": ["query", "something red", "-k", 3, "--json"],
        "bench": ["bench", "--json"],
    }  # fmt: skip
    done = {name: vdistill(*step, cwd=home) for name, step in steps.items()}
    for name, one in done.items():
        assert one.code == 0, (name, one.err)
    return home, done


def test_label_prints_the_keys_of_the_contract(finished):
    _, done = finished
    report = done["label"].json
    assert list(report) == LABEL_KEYS
    assert report["calls"] == report["judgments"] > 100
    assert (report["queries"], report["items"], report["failed"], report["reused"]) == (24, 24, 0, 0)


def test_the_same_label_after_distill_asks_nothing_again(finished):
    home, done = finished
    assert (home / ".vdistill" / "student").is_dir()
    again = vdistill("label", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4,
                     "--holdout", 0.4, "--json", cwd=home)  # fmt: skip
    assert again.json["calls"] == 0
    assert again.json["reused"] == done["label"].json["judgments"]


def test_a_dry_run_asks_and_writes_nothing(finished, tmp_path):
    home, _ = finished
    for name in ("catalog", "scores.csv", "queries.txt"):
        (tmp_path / name).symlink_to(home / name)
    plan = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--dry-run",
                    "--json", cwd=tmp_path)  # fmt: skip
    assert plan.code == 0
    assert list(plan.json) == LABEL_KEYS
    assert plan.json["calls"] > 0
    assert not (tmp_path / ".vdistill").exists()


def test_no_training_judgment_touches_a_held_out_query_or_item(finished):
    home, _ = finished
    sides = sides_of(home, 0.4)
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        held_out = {query.text for query in database.queries("heldout")}
        assert held_out
        assert held_out < set(QUERIES)
        for judgment in database.judgments("train"):
            assert judgment.query not in held_out
            assert {sides[item] for item in judgment.items} == {"train"}
        for judgment in database.judgments("heldout"):
            assert judgment.query in held_out
            assert {sides[item] for item in judgment.items} == {"heldout"}


def test_distill_prints_the_keys_of_the_contract(finished):
    _, done = finished
    report = done["distill"].json
    assert list(report)[:6] == ["backbone", "trainable_parameters", "steps", "seconds", "heldout", "adapter"]
    assert set(report["heldout"]) == {"backbone", "student"}
    assert {"mpr", "ndcg@10", "recall@10", "kendall_tau", "pairwise_accuracy", "literal_recall@10"} <= set(
        report["heldout"]["student"]
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's own
def test_the_student_is_a_standard_adapter_on_the_image_tower_alone(finished, vision_text_folder):
    home, _ = finished
    plain = AutoModel.from_pretrained(vision_text_folder)
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    merged = PeftModel.from_pretrained(plain, home / ".vdistill" / "student").merge_and_unload()
    changed = {name for name, tensor in merged.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("vision_model.", "visual_projection")) for name in changed)


def test_index_prints_the_keys_of_the_contract(finished):
    _, done = finished
    report = done["index"].json
    assert {"model", "added", "updated", "removed", "skipped", "dtype", "bytes", "seconds"} <= set(report)
    assert (report["model"], report["added"], report["skipped"]) == ("student", 24, [])


def test_query_prints_the_keys_of_the_contract(finished):
    _, done = finished
    report = done["query"].json
    assert list(report) == ["query", "model", "results", "took_ms", "nothing_fits_well"]
    assert [hit["rank"] for hit in report["results"]] == [1, 2, 3]
    assert list(report["results"][0]) == ["rank", "id", "path", "score", "metadata", "product", "images", "fit"]
    assert Path(report["results"][0]["path"]).is_file()


def test_bench_prints_the_keys_of_the_contract(finished):
    _, done = finished
    report = done["bench"].json
    assert {"models", "ci95", "queries", "items", "gates"} <= set(report)
    assert {"backbone", "student", "teacher"} <= set(report["models"])
    low, high = report["ci95"]["student"]["ndcg@10"]
    assert low <= report["models"]["student"]["ndcg@10"] <= high


def test_bench_and_distill_measure_alike(finished):
    _, done = finished
    for model in ("backbone", "student"):
        trained, served = done["distill"].json["heldout"][model], done["bench"].json["models"][model]
        assert served["ndcg@10"] == pytest.approx(trained["ndcg@10"], abs=0.05), "bf16 vectors, exported text encoder"


def test_a_gate_that_is_not_met_is_exit_code_three(finished):
    home, _ = finished
    met = vdistill("bench", "--fail-under", "mpr=0.0", "--json", cwd=home)
    assert (met.code, met.json["gates"][0]["passed"]) == (0, True)
    missed = vdistill("bench", "--fail-under", "mpr=0.0", "--fail-under", "ndcg@10=1.01", "--json", cwd=home)
    assert missed.code == 3
    assert [gate["passed"] for gate in missed.json["gates"]] == [True, False]
    assert "ndcg@10" in missed.err


def test_bench_judges_by_qrels_too(finished, tmp_path):
    home, _ = finished
    items = [path.name for path in (home / "catalog").glob("*.png")]
    lines = [f"{number} 0 {item} 2" for number, query in enumerate(QUERIES, start=1) for item in items
             if item.split("_")[0] in query]  # fmt: skip
    (tmp_path / "qrels.txt").write_text("\n".join(lines))
    report = vdistill("bench", "--qrels", tmp_path / "qrels.txt", "--json", cwd=home).json
    assert report["models"]["teacher"]["ndcg@10"] > 0.9
    assert report["models"]["student"]["ndcg@10"] < 1


def test_batch_answers_line_by_line_as_single_queries_do(finished):
    home, _ = finished
    batch = vdistill("query", "--batch", "-", "-k", 2, cwd=home, stdin="something red\n\nshe adores blue\n")
    lines = [json.loads(line) for line in batch.out.splitlines()]
    assert [line["query"] for line in lines] == ["something red", "she adores blue"]
    single = vdistill("query", "she adores blue", "-k", 2, "--json", cwd=home).json
    assert [hit["id"] for hit in lines[1]["results"]] == [hit["id"] for hit in single["results"]]


def test_an_image_finds_itself_first(finished):
    home, _ = finished
    done = vdistill("query", "--image", home / "catalog" / "red_mug.png", "-k", 1, "--json", cwd=home)
    assert done.json["results"][0]["id"] == "red_mug.png"


def test_where_filters_by_metadata(finished):
    home, _ = finished
    done = vdistill("query", "something", "--where", "price < 8", "-k", 20, "--json", cwd=home)
    assert done.json["results"]
    assert all(hit["metadata"]["price"] < 8 for hit in done.json["results"])


def test_the_gallery_is_one_page_that_asks_nobody_else(finished, tmp_path):
    home, _ = finished
    done = vdistill("query", "<b>red</b>", "-k", 4, "--gallery", tmp_path / "page.html", cwd=home)
    page = (tmp_path / "page.html").read_text()
    assert done.code == 0
    assert page.count("data:image/jpeg") >= 4
    assert "http://" not in page
    assert "https://" not in page
    assert "<b>red</b>" not in page


def test_a_new_student_makes_the_index_stale_and_query_rebuilds_it(finished, tmp_path, indexed_in_another_process):
    home, _ = finished
    shutil.copytree(home, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert vdistill("distill", "--epochs", 2, "--rank", 4, "--lr", 0.001, "--seed", 5, "--quiet", cwd=copy).code == 0
    asked = vdistill("query", "something red", "-k", 1, "--json", cwd=copy)
    assert asked.code == 0
    assert "indexing first" in asked.err
    assert "indexing" not in vdistill("query", "something red", "-k", 1, cwd=copy).err


def test_defaults_come_from_flag_then_environment_then_file(finished, tmp_path):
    home, _ = finished
    (tmp_path / "vdistill.toml").write_text(f'workspace = "{home}/.vdistill"\n[query]\nk = 4\njson = true\n')

    def count(*more, env=None):
        return len(vdistill("query", "something red", *more, cwd=tmp_path, env=env).json["results"])

    assert count() == 4
    assert count(env={"VDISTILL_K": "3"}) == 3
    assert count("-k", 2, env={"VDISTILL_K": "3"}) == 2
