"""Several teachers share a budget: a common core, shares by what it showed, and nothing lost when one is gone."""

import csv
import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from chat_server import ChatServer, completion
from command_line import errors, vdistill, write_scores
from vdistill.database import Database
from vdistill.evaluation.admissible import admissible, juries_of
from vdistill.inputs.sides import Sides
from vdistill.label.jury.seats import drawn_at
from vdistill.label.jury.shares import Means, Offer, dealt, shares
from vdistill.preferences import Trust

SOFT = completion(logprobs={"A": -0.7, "B": -1.1, "C": -1.6, "D": -2.2})
PRICE = {"VDISTILL_USD_PER_MILLION": "10,10"}  # by estimate 0.0335 dollars for a call with four images


def write_noisy(folder, name, noise, seed=0):
    """The table of `write_scores`, with noise that stays with the item."""
    rng = np.random.default_rng(seed)
    with (folder / "scores.csv").open(newline="") as known, (folder / name).open("w", newline="") as file:
        rows = csv.DictReader(known)
        out = csv.writer(file)
        out.writerow(["query", "item", "score"])
        out.writerows([row["query"], row["item"], float(row["score"]) + noise * rng.normal()] for row in rows)


@pytest.fixture
def home(tmp_path, catalog):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    for number, noise in enumerate((0.5, 2.0, 3.0)):
        write_noisy(tmp_path, f"noise{number}.csv", noise, number)
    return tmp_path


TABLES = [part for number in range(3) for part in ("--teacher", f"table:noise{number}.csv")]


def label(home, *options, env=None):
    return vdistill("label", "catalog", "--queries", "queries.txt", "--images-per-call", 4, "--holdout", 0.4, *options,
                    cwd=home, env=env)  # fmt: skip


def judged(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return database.judgments()


def by_question(judgments):
    found = defaultdict(set)
    for one in judgments:
        found[one.query, one.items].add(one.teacher)
    return found


def test_three_teachers_share_a_budget_by_what_a_common_core_showed(home):
    done = label(home, *TABLES, "--budget", 300, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["calls"] <= 300
    assert found["judgments"] > 250
    assert sum(one["calls"] for one in found["teachers"]) == found["calls"]
    careful, usual, hasty = found["teachers"]
    assert careful["calls"] > usual["calls"] >= hasty["calls"] > 0
    assert careful["bits"] > hasty["bits"]
    assert careful["agreement"] > hasty["agreement"]
    assert found["teacher"] == " + ".join(one["name"] for one in found["teachers"])
    assert "questions that all were asked" in done.err
    judgments = judged(home)
    core = [who for who in by_question(judgments).values() if len(who) == 3]
    assert 16 <= len(core) <= 20  # a fifth of the calls, among three
    sides = {one.query: one.split for one in judgments}
    assert {sides[query] for (query, _), who in by_question(judgments).items() if len(who) == 3} == {"train", "heldout"}


def test_a_jury_is_one_judge_of_the_held_out_queries(home):
    assert label(home, *TABLES, "--budget", 120).code == 0
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        held_out, juries = database.judgments("heldout"), juries_of(database)
        sides = Sides.read(database)
    found = admissible(held_out, {}, sides, juries=juries)
    assert found.judge.teacher == " + ".join(juries[0])
    assert len(found.judgments) == len(held_out)
    alone = admissible(held_out, {}, sides, juries[0][0], juries)
    assert {one.teacher for one in alone.judgments} == {juries[0][0]}


def test_the_same_command_asks_nothing_again_and_its_plan_knows(home):
    plan = label(home, *TABLES, "--budget", 240, "--dry-run", "--json")
    assert plan.code == 0, plan.err
    assert plan.json["calls"] <= 240
    assert len(plan.json["teachers"]) == 3
    assert all(one["calls"] for one in plan.json["teachers"])
    assert not (home / ".vdistill" / "vdistill.db").exists()
    first = label(home, *TABLES, "--budget", 240, "--json").json
    again = label(home, *TABLES, "--budget", 240, "--json").json
    assert again["calls"] == 0
    assert again["reused"] == first["judgments"]
    known = label(home, *TABLES, "--budget", 240, "--dry-run", "--json").json
    assert known["calls"] == 0
    assert known["reused"] == first["judgments"]


def test_an_interrupted_run_goes_on_with_the_same_shares(home):
    whole = label(home, *TABLES, "--budget", 240, "--json", "-w", "whole").json
    with Database.open(home / "whole" / "vdistill.db") as database:
        wanted = {(one.query, one.items, one.teacher) for one in database.judgments()}
        rows = database.keyed_judgments()
        settings = {name: value for name, value in database.settings("").items() if name != "sides"}
    part = label(home, *TABLES, "--budget", 240, "--dry-run", "-w", "part")
    assert part.code == 0, part.err
    assert label(home, "--teacher", "table:noise0.csv", "--budget", 1, "-w", "part").code == 0
    with Database.open(home / "part" / "vdistill.db") as database:  # as a kill in the middle leaves it
        for name, value in settings.items():
            database.remember(name, value)
        database.add_judgments([(key, "", one) for key, one in rows[:150]])
    rest = label(home, *TABLES, "--budget", 240, "--json", "-w", "part").json
    assert rest["calls"] + 150 == whole["calls"]
    with Database.open(home / "part" / "vdistill.db") as database:
        assert wanted <= {(one.query, one.items, one.teacher) for one in database.judgments()}


@pytest.mark.slow
def test_a_teacher_that_keeps_failing_hands_its_calls_on(home):
    given = ["--teacher", "table:noise1.csv", "--budget", 150, "--json"]
    with ChatServer(SOFT, completion("sorry")) as server:
        done = label(home, *given, "--teacher", f"vlm@{server.url}", env={"VDISTILL_PARAPHRASES": "0"})
    assert done.code == 0, done.err
    table, chat = done.json["teachers"]
    assert chat["gone"]
    assert not table["gone"]
    assert done.err.count("vlm is not asked any more, table:noise1.csv") == 1
    assert table["calls"] + chat["calls"] <= 150
    assert table["judgments"] == table["calls"] > 120


def test_who_stood_in_is_not_asked_again(home):
    given = ["--teacher", "table:noise1.csv", "--budget", 30, "--json"]  # too few for a core: equal shares
    with ChatServer(*[SOFT] * 3, *[completion("sorry")] * 10, SOFT) as server:
        options = [*given, "--teacher", f"vlm@{server.url}"]
        first = label(home, *options, env={"VDISTILL_PARAPHRASES": "0", "VDISTILL_CONCURRENCY": "1"}).json
        assert first["teachers"][1]["gone"]
        assert 3 <= first["teachers"][1]["judgments"] < 13
        again = label(home, *options, env={"VDISTILL_PARAPHRASES": "0"}).json
    assert again["calls"] <= 10  # but for those, and for a round that is planned on them, all is known
    assert len(by_question(judged(home))) == len(judged(home)), "no question was asked of two"


def test_a_teacher_that_cannot_be_reached_does_not_lose_the_others(home):
    done = label(home, "--teacher", "table:noise0.csv", "--teacher", "vlm@http://127.0.0.1:9", "--budget", 60, "--json",
                 env={"NO_PROXY": "*"})  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["teachers"][1]["gone"]
    assert done.json["teachers"][0]["judgments"] > 40
    alone = label(home, "--teacher", "vlm@http://127.0.0.1:9", "--teacher", "other@http://127.0.0.1:9", "--budget", 60,
                  "-w", "other", env={"NO_PROXY": "*"})  # fmt: skip
    assert "no teacher of the jury can be asked" in errors(alone)[0]


@pytest.mark.slow
def test_dollars_are_shared_and_each_teacher_is_priced(home):
    with ChatServer(SOFT) as one, ChatServer(SOFT) as other:
        given = ["--teacher", f"vlm@{one.url}", "--teacher", f"second@{other.url}", "--max-cost", 2, "--json"]
        plan = label(home, *given, "--dry-run", env=PRICE)
        assert plan.code == 0, plan.err
        assert one.calls == other.calls == 0
        assert 0 < sum(row["cost_usd"] for row in plan.json["teachers"]) <= 2
        done = label(home, *given, env=PRICE)
        assert done.code == 0, done.err
        assert one.calls
        assert other.calls
        assert not one.repeated
        assert not other.repeated
    assert 0 < done.json["cost_usd"] <= 2.0
    assert sum(row["cost_usd"] for row in done.json["teachers"]) == pytest.approx(done.json["cost_usd"])
    assert Counter(judgment.teacher for judgment in judged(home)).keys() == {
        row["name"] for row in done.json["teachers"]
    }


def test_the_environment_and_the_file_may_name_several(home):
    options = ["--budget", 60, "--json", "--dry-run"]
    named = label(home, *options, env={"VDISTILL_TEACHER": "table:noise0.csv, table:noise1.csv"})
    assert named.code == 0, named.err
    (home / "vdistill.toml").write_text('[label]\nteacher = ["table:noise0.csv", "table:noise1.csv"]\n')
    assert label(home, *options).json["teacher"] == named.json["teacher"]
    (home / "vdistill.toml").write_text('teacher = "table:noise2.csv"\n')
    alone = label(home, *options).json
    assert alone["teacher"].startswith("table:noise2.csv")
    assert "teachers" not in alone
    spaced = home / "my scores.csv"
    spaced.write_text((home / "scores.csv").read_text())
    assert label(home, *options, env={"VDISTILL_TEACHER": "table:my scores.csv"}).code == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--teacher", "me", "--teacher", "metadata"], "cannot be in a jury"),
        (["--teacher", "metadata", "--teacher", "metadata"], "given twice"),
        ([*TABLES, "--batch"], "--batch asks one teacher"),
        ([*TABLES, "--images-per-call", "auto"], "auto is for one teacher"),
        (["--teacher", "table:scores.csv", "--think", "low"], "--think is not for"),
        (["--teacher", "metadata", "--endpoint", "http://localhost:9"], "--endpoint is not for"),
    ],
)
def test_what_makes_no_sense_is_an_error(home, options, why):
    assert why in errors(label(home, *options))[0]


def test_an_audit_of_several_compares_them_and_says_what_to_buy(home):
    done = label(home, *TABLES, "--audit", 60, "--budget", 500, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    careful, _, hasty = found["teachers"]
    assert careful["bits"] > hasty["bits"]
    assert careful["buy_calls"] > hasty["buy_calls"]
    assert sum(row["buy_calls"] for row in found["teachers"]) == pytest.approx(500, abs=3)
    assert found["advice"].startswith("for 500 calls: buy")
    shown = label(home, *TABLES, "--audit", 60)
    assert "what to buy" in shown.out


GOOD, FAIR, TASTES = (Trust(own, taste, 6.0, 1.0, soft=True) for own, taste in ((1, 0), (4, 0), (0.2, 3)))


def test_without_tastes_of_their_own_the_best_gets_all_and_with_them_a_second_opinion_is_bought():
    means = Means(1000, None, 4.0)
    assert shares([Offer(GOOD), Offer(FAIR)], means).tolist() == [1, 0]
    mixed = shares([Offer(TASTES), Offer(TASTES)], means)
    assert mixed.tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_dollars_buy_the_cheaper_one_where_it_tells_nearly_as_much():
    fair_but_cheap = shares([Offer(GOOD, 0.1), Offer(FAIR, 0.001)], Means(10_000, 1.0, 4.0))
    assert fair_but_cheap[1] > 0.9
    calls = dealt([Offer(GOOD, 0.1), Offer(FAIR, 0.001)], Means(100, 1.0, 4.0))
    assert calls.sum() <= 100
    assert calls @ [0.1, 0.001] <= 1.0 + 1e-6


def test_who_scores_an_image_once_leaves_the_rest_to_the_others():
    assert dealt([Offer(GOOD, once=True), Offer(FAIR, once=True)], Means(200, None, 2.0)).round().tolist() == [100, 100]


def test_seats_follow_the_shares_and_all_others_stand_in():
    places = (np.arange(1000) + 0.5) / 1000
    assert Counter(drawn_at(place, [0.2, 0.0, 0.8])[0] for place in places) == {0: 200, 2: 800}
    assert all(sorted(drawn_at(place, [0.2, 0.0, 0.8])) == [0, 1, 2] for place in places)


def test_none_of_these_is_offered_to_those_who_can_say_it(home):
    everyone = label(home, *TABLES, "--none", "--dry-run")
    assert 'cannot say "none of these"' in everyone.err, "nobody here can"
    (home / "vdistill.toml").write_text("[label]\nnone = true\n")
    planned = label(home, *TABLES, "--budget", 60, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["none_asked"] == 0
    with (home / "noise0.csv").open("a", newline="") as file:
        csv.writer(file).writerows([query, "", 1.0] for query in (home / "queries.txt").read_text().splitlines())
    planned = label(home, *TABLES, "--none", "--budget", 300, "--dry-run", "--json")
    assert planned.err.count('cannot say "none of these": only the others are offered it') == 2
    done = label(home, *TABLES, "--none", "--budget", 300, "--json")
    assert done.code == 0, done.err
    asked = done.json["none_asked"]
    careful = done.json["teachers"][0]["calls"]
    assert 0.1 * careful < asked < 0.3 * careful, "a fourth of its calls, but for the common core"
    assert planned.json["none_asked"] > 0
    of = {one.teacher for one in judged(home) if one.answer.none is not None}
    assert of == {done.json["teachers"][0]["name"]}
    again = label(home, *TABLES, "--none", "--budget", 300, "--json")
    assert (again.json["calls"], again.json["reused"]) == (0, done.json["judgments"])


def test_a_jury_that_says_none_of_these_and_nothing_else_is_asked_to_the_end(home):
    with ChatServer(lambda body: completion("E" if "none of these" in str(body) else "A")) as server:
        teachers = ("--teacher", f"openai:first@{server.url}", "--teacher", f"openai:second@{server.url}")
        options = (*teachers, "--ask", "best", "--none", "--budget", 48, "--json")
        done = label(home, *options)
        assert done.code == 0, done.err
        assert done.json["rejected"] == done.json["none_asked"] > 0
        calls = server.calls
        again = label(home, *options)
        assert (again.json["calls"], server.calls) == (0, calls)


def test_a_narrow_terminal_has_numbers_for_teachers_and_their_names_below(home):
    wide = label(home, *TABLES, "--budget", 60, "--dry-run", env={"COLUMNS": "140"})
    narrow = label(home, *TABLES, "--budget", 60, "--dry-run", env={"COLUMNS": "60"})
    names = [one["name"] for one in label(home, *TABLES, "--budget", 60, "--dry-run", "--json").json["teachers"]]
    rows = [line.split()[0] for line in wide.out.splitlines() if "noise" in line and "%" in line]
    assert rows == names
    for number, name in enumerate(names, start=1):
        assert f"{number}  {name}" in narrow.out
    assert "agreement" not in narrow.out, "nothing is known of it before anyone is asked"
