"""What is bought: never twice, never beyond the caps, and always some of both sides."""

import json
import threading
from collections import Counter

import pytest

from chat_server import ChatServer, completion, interrupt_after
from command_line import COLOURS, QUERIES, errors, vdistill, write_scores
from vdistill.database import Database
from vdistill.inputs.catalog import scan
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides

SOFT = completion(logprobs={"A": -0.7, "B": -1.1, "C": -1.6, "D": -2.2})
PRICE = {"VDISTILL_USD_PER_MILLION": "10,10"}  # by estimate 0.0335 dollars for a call with four images


def costing(usd, answer=SOFT):
    """An answer that is billed at so many dollars by PRICE."""
    return answer | {"usage": {"prompt_tokens": round(usd * 1e5), "completion_tokens": 0}}


def varied(count=400):
    """Answers that differ, so that there is something to learn."""
    letters = "ABCD"
    return [
        completion(logprobs={letter: -0.3 - 0.7 * ((number * 7 + at * 5) % 4) for at, letter in enumerate(letters)})
        for number in range(count)
    ]


@pytest.fixture
def home(tmp_path, catalog):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES) + "\n")
    return tmp_path


def label(home, server, *options, env=None):
    return vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--queries", "queries.txt",
                    "--images-per-call", 4, "--holdout", 0.4, *options, "--json", cwd=home, env=env)  # fmt: skip


def sides(home):
    """How many judgments each side has."""
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return Counter(judgment.split for judgment in database.judgments())


def bought(home):
    """What was asked."""
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return {(judgment.query, judgment.items, judgment.split) for judgment in database.judgments()}


def test_the_same_command_asks_nothing_anew_after_distill_and_a_dry_run_knows_it(home, clip_folder):
    with ChatServer(*varied()) as server:
        plan = label(home, server, "--budget", 200, "--dry-run").json
        assert server.calls == 0
        first = label(home, server, "--budget", 200).json
        assert first["calls"] == server.calls
        assert 0 <= plan["calls"] - first["calls"] <= sides(home)["heldout"], "exact but for the adaptive part"
        done = vdistill("distill", "--backbone", clip_folder, "--epochs", 1, "--rank", 2, cwd=home)
        assert done.code == 0, done.err
        plan = label(home, server, "--budget", 200, "--dry-run").json
        again = label(home, server, "--budget", 200).json
        assert plan["calls"] == again["calls"] == 0
        assert plan["reused"] == again["reused"] == first["judgments"]
        assert (server.calls, server.repeated) == (first["calls"], 0)


def test_a_dry_run_half_way_counts_what_is_stored_of_both_sides(home):
    with ChatServer(costing(0.335)) as server:  # ten times the estimate
        label(home, server, "--budget", 200, "--max-cost", 10, env=PRICE)
        stored = sides(home)
        assert stored["heldout"]
        assert stored.total() < 50
        plan = label(home, server, "--budget", 200, "--dry-run").json
        assert plan["reused"] == stored.total()
        real = label(home, server, "--budget", 200).json
        assert real["reused"] == plan["reused"]
        assert 0 <= plan["calls"] - real["calls"] <= sides(home)["heldout"]


def test_a_dry_run_plans_the_rankings_that_a_server_without_probabilities_is_asked_for(home):
    with ChatServer(completion("B"), completion("A, B, C, D")) as server:
        first = label(home, server, "--budget", 60).json
        assert first["judgments"] == server.calls
        plan = label(home, server, "--budget", 60, "--dry-run").json
        assert plan["calls"] <= 1, "the one that the question how to ask took"
        again = label(home, server, "--budget", 60).json
        assert again["calls"] == plan["calls"]
        assert server.repeated == 0


def test_a_dry_run_with_a_guide_knows_what_was_bought_with_it(home, clip_folder):
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    command = ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", 100,
               "--guide", "backbone", "--backbone", clip_folder, "--json"]  # fmt: skip
    done = vdistill(*command, cwd=home)
    assert done.code == 0, done.err
    assert vdistill(*command, "--dry-run", cwd=home).json["calls"] == 0
    assert vdistill(*command, cwd=home).json["calls"] == 0


def test_banded_calls_are_made_where_the_answers_decide_how_to_ask(home, clip_folder):
    with ChatServer(SOFT) as server:
        done = label(
            home, server, "--budget", 40, "--schedule", "banded", "--guide", "backbone", "--backbone", clip_folder
        )
        assert done.code == 0, done.err
        assert done.json["calls"] == server.calls == done.json["judgments"]
        assert done.json["reused"] == server.repeated == 0


@pytest.mark.parametrize("caps", [["--max-cost", 2], ["--max-cost", 2, "--budget", 500], ["--budget", 60]])
def test_whatever_caps_a_run_both_sides_get_their_share(home, caps):
    with ChatServer(costing(0.0335)) as server:
        report = label(home, server, *caps, env=PRICE).json
        share = sides(home)
        assert report["cost_usd"] <= 2 + 1e-9
        assert 50 <= report["calls"] <= 60
        assert share["heldout"] >= 10
        assert share["train"] > share["heldout"]


def test_a_budget_below_the_number_of_queries_still_reaches_both_sides(home):
    with ChatServer(SOFT) as server:
        assert label(home, server, "--budget", 12).json["calls"] <= 12
        assert min(sides(home)[side] for side in ("train", "heldout")) >= 4


def test_where_calls_cost_more_than_estimated_the_cap_holds_but_for_the_calls_under_way(home):
    with ChatServer(costing(0.335)) as server:  # ten times the estimate
        report = label(home, server, "--max-cost", 3, "--concurrency", 3, env=PRICE).json
        assert report["cost_usd"] == pytest.approx(0.335 * server.calls)
        assert report["cost_usd"] <= 3 + 3 * 0.335
        assert min(sides(home)[side] for side in ("train", "heldout")) >= 1


def test_a_server_that_sends_no_bill_is_counted_by_the_estimate(home):
    answer = {name: value for name, value in SOFT.items() if name != "usage"}
    with ChatServer(answer) as server:
        report = label(home, server, "--max-cost", 1, env=PRICE).json
        assert 25 <= server.calls <= 30
        assert report["cost_usd"] <= 1


def test_what_failed_answers_cost_counts(home):
    with ChatServer(costing(0.0335, completion("no idea")), costing(0.0335)) as server:
        report = label(home, server, "--budget", 20, env=PRICE).json
        assert report["failed"] == 1
        assert report["cost_usd"] == pytest.approx(0.0335 * server.calls)


@pytest.mark.parametrize("mode", [[], ["--dry-run"], ["--audit", 60], ["--generate-queries", 5]])
def test_a_cap_in_dollars_without_a_price_is_refused(home, mode):
    (home / "vdistill.toml").write_text('[prices]\n"VLM" = [1, 1]\n')
    with ChatServer(SOFT) as server:
        error, hint = errors(label(home, server, "--max-cost", 5, *mode))
        assert "the price of openai:vlm is not known" in error
        assert '"VLM"' in error, "the price that may have been meant"
        assert "VDISTILL_USD_PER_MILLION" in hint
        assert '[prices] "vlm"' in hint
        assert server.calls == 0


def test_the_name_with_openai_before_it_has_a_price_too(home):
    (home / "vdistill.toml").write_text('[prices]\n"openai:vlm" = [10, 10]\n')
    with ChatServer(costing(0.0335)) as server:
        assert 20 <= label(home, server, "--max-cost", 1).json["calls"] <= 29


def test_a_cap_that_does_not_reach_for_one_call_is_an_error_with_the_price(home):
    with ChatServer(SOFT) as server:
        assert "is too little for a call" in errors(label(home, server, "--max-cost", 0.01, env=PRICE))[0]
        assert server.calls == 0


def test_a_teacher_that_costs_nothing_is_not_capped_and_says_so(home):
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", 40,
                    "--max-cost", 0, "--json", cwd=home)  # fmt: skip
    assert 30 <= done.json["calls"] <= 40
    assert "--max-cost caps nothing" in done.err


def test_an_audit_and_its_repeats_keep_to_the_cap(home):
    with ChatServer(*[costing(0.06, one) for one in varied()]) as server:
        done = label(home, server, "--audit", 200, "--max-cost", 3, "--concurrency", 2, env=PRICE)
        assert done.code == 0, done.err
        assert done.json["cost_usd"] == pytest.approx(0.06 * server.calls)
        assert done.json["cost_usd"] <= 3 + 2 * 0.06
        before = server.calls
        again = label(home, server, "--audit", 200, "--max-cost", 0.5, env=PRICE)
        assert "too little to tell" in errors(again)[0]
        assert server.calls == before


def test_the_audit_of_auto_and_the_run_after_it_share_one_cap(home):
    options = ["--max-cost", 12, "--images-per-call", "auto", "--concurrency", 2]
    with ChatServer(*[costing(0.03, one) for one in varied()]) as server:
        done = label(home, server, *options, env=PRICE)
        assert done.code == 0, done.err
        assert "calls first" in done.err
        assert done.json["cost_usd"] == pytest.approx(0.03 * server.calls)
        assert done.json["cost_usd"] <= 12 + 2 * 0.03


def test_writing_queries_takes_half_of_the_caps_at_most(home):
    scripts = [costing(0.1, completion(f"a gift for aunt number {number}")) for number in range(12)]
    with ChatServer(*scripts, costing(0.02)) as server:
        done = label(home, server, "--generate-queries", 40, "--max-cost", 2, env=PRICE)
        assert done.code == 0, done.err
        assert "half of the caps is spent on writing" in done.err
        written = sum("logprobs" not in body for _, body in server.bodies)
        assert 5 <= written <= 10
        assert done.json["cost_usd"] <= 2
        assert done.json["judgments"] > 20


def test_which_queries_a_budget_reaches_is_drawn_and_not_the_order_of_the_file(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "catalog").symlink_to(home / "catalog")
    (other / "queries.txt").write_text("\n".join(sorted(QUERIES, reverse=True)))
    with ChatServer(SOFT) as server:
        for folder in (home, other):
            assert label(folder, server, "--budget", 20, "--concurrency", 1).code == 0
    assert bought(home) == bought(other)
    colours = {query.split()[-1] for query, _, split in bought(home) if split == "train"}
    assert colours == set(COLOURS), "not the first lines of the file"


def test_interrupted_half_way_it_has_judged_both_sides_and_goes_on_to_the_same_plan(home, tmp_path_factory):
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    for name in ("catalog", "queries.txt"):
        (undisturbed / name).symlink_to(home / name)
    with ChatServer(SOFT) as server:
        whole = label(undisturbed, server, "--budget", 120).json["calls"]
    with ChatServer(SOFT, delay=0.01) as server:
        watcher = threading.Thread(target=interrupt_after, args=(server, whole // 2))
        watcher.start()
        done = label(home, server, "--budget", 120, "--concurrency", 2)
        watcher.join()
        assert done.code == 130, done.err
        half = sides(home)
        assert half.total() >= whole // 2
        assert half["heldout"] / sides(undisturbed)["heldout"] == pytest.approx(0.5, abs=0.15)
        assert half["train"] / sides(undisturbed)["train"] == pytest.approx(0.5, abs=0.15)
        assert label(home, server, "--budget", 120).code == 0
        assert server.repeated == 0
    assert bought(home) == bought(undisturbed)


def test_catalog_and_images_are_read_once_a_command(home):
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    (home / "catalog" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing of the kind")
    with ChatServer(*varied()) as server:
        done = label(home, server, "--images-per-call", "auto", "--budget", 200, "--holdout", 0)
        assert done.code == 0, done.err
        assert done.err.count("skipped broken.png") == 1


def test_a_guide_leaves_out_a_broken_image_by_name(home, clip_folder):
    write_scores(home, [*sorted(path.name for path in (home / "catalog").glob("*.png")), "broken.png"])
    (home / "catalog" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing of the kind")
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", 60,
                    "--guide", "backbone", "--backbone", clip_folder, "--holdout", 0, "--json", cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    assert "skipped broken.png" in done.err
    assert done.json["items"] == 24


@pytest.mark.parametrize(("items", "queries", "said"), [
    (0, 8, "error: of 2 images 0 can be used for training"),
    (1, 8, "error: of 3 images 1 can be used for training"),
    (2, 8, ""),
    (3, 1, ""),
])  # fmt: skip
@pytest.mark.parametrize("schedule", ["adaptive", "knockout"])
def test_a_tiny_catalog_is_labelled_or_refused_in_a_line(tmp_path, drawn_catalog, items, queries, said, schedule):
    sided = item_sides(drawn_catalog, 0.2)
    (tmp_path / "catalog").mkdir()
    for name in sided.of("train")[:items] + sided.of("heldout")[:2]:
        (tmp_path / "catalog" / name).symlink_to(drawn_catalog / name)
    rows = [{"query": f"wish {number}", "split": "train"} for number in range(queries)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ChatServer(SOFT) as server:
        done = vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--queries", "queries.jsonl",
                        "--budget", 20, "--schedule", schedule, "--ask", "best", cwd=tmp_path)  # fmt: skip
    assert "Traceback" not in done.err
    if said:
        assert said in errors(done)[0]
    else:
        assert done.code == 0, done.err
        assert sides(tmp_path)["train"] > 0


def item_sides(catalog, holdout):
    """Where the items of a catalog are before anything is judged."""
    items = scan(catalog).items
    with Hashes.open(None) as hashes:
        return Sides.read(None, holdout).of_items(items, hashes.of(items))


@pytest.mark.parametrize("queries", [["heldout"], ["heldout"] * 3])
def test_held_out_queries_alone_are_judged_and_said_to_teach_nothing(home, queries):
    rows = [{"query": f"wish {number}", "split": split} for number, split in enumerate(queries)]
    (home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ChatServer(SOFT) as server:
        done = label(home, server, "--queries", "queries.jsonl", "--budget", 30)
        assert done.code == 0, done.err
    assert "all queries are held out" in done.err
    assert set(sides(home)) == {"heldout"}


def test_an_audit_of_nothing_to_train_on_is_an_error_in_a_line(tmp_path, drawn_catalog):
    (tmp_path / "catalog").mkdir()
    name = item_sides(drawn_catalog, 0.2).of("heldout")[0]
    (tmp_path / "catalog" / name).symlink_to(drawn_catalog / name)
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES))
    with ChatServer(SOFT) as server:
        done = label(tmp_path, server, "--audit", 60, "--holdout", 0.2)
    assert "can be used for training" in errors(done)[0]
