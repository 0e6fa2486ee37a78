"""Models that think before they answer, over HTTP."""

import hashlib
import io
import json
import math

import pytest
from rich.console import Console

import chat_teacher
from chat_server import ChatServer, completion, refusal
from chat_teacher import SOFT
from command_line import QUERIES, errors, vdistill
from vdistill.cli.audit_table import audit_table
from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teachers.options import TeacherOptions, Thinking, read_thinking
from vdistill.records import Answer, Failure, Question


def cut(text=None, **message):
    """An answer that came to the cap on tokens."""
    document = completion(text, **message)
    document["choices"][0]["finish_reason"] = "length"
    return document


def teacher_of(server, think):
    return chat_teacher.teacher_at(server, thinking=read_thinking(think))


def ask(server, *questions, think="off", **how):
    return chat_teacher.ask(server, *questions, thinking=read_thinking(think), **how)


def test_models_are_asked_not_to_think(question):
    with ChatServer() as server:
        ask(server, question)
    body = server.bodies[0][1]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "reasoning_effort" not in body


@pytest.mark.parametrize(("think", "cap", "effort"), [("low", 2048 + 4, "low"), ("500", 504, None)])
def test_thinking_gets_tokens_and_is_part_of_the_key(question, think, cap, effort):
    with ChatServer() as server:
        ask(server, question, think=think)
        prompts = {teacher_of(server, think=each).prompt for each in ("off", "low", "500")}
    body = server.bodies[0][1]
    assert body["max_tokens"] == cap
    assert body.get("reasoning_effort") == effort
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert "structured_outputs" not in body, "thoughts are no letters"
    assert prompts == {"1/768px", "1/768px/think low", "1/768px/think 500"}


def test_thoughts_are_part_of_the_price(question):
    with ChatServer() as server:
        plain, thinking = (teacher_of(server, think=think).price(question) for think in ("off", "1000"))
    assert thinking.tokens == plain.tokens + 1000
    assert thinking.usd == pytest.approx(plain.usd + 1000 * 2e-6)


@pytest.mark.parametrize(
    "text", ["<think>A or C? C.</think>\n\nB", "A or C? C.</think>B", "<think></think>B", "[THINK]A[/THINK] B",
             "<|begin_of_box|>B<|end_of_box|>"],
)  # fmt: skip
def test_the_answer_stands_after_the_thoughts(question, text):
    with ChatServer(completion(text)) as server:
        assert ask(server, question, think="low")[0].probabilities == (0.0, 1.0, 0.0)


def test_the_order_stands_after_the_thoughts(question):
    with ChatServer(completion("<think>B, A, C?</think>C, A, B")) as server:
        rank = Question(question.query, question.images, "rank")
        assert ask(server, rank, think="low")[0].order == (2, 0, 1)


def test_thoughts_in_a_field_of_their_own_are_not_the_answer(question):
    with ChatServer(completion("B", reasoning_content="It is A.")) as server:
        assert ask(server, question, think="low")[0].probabilities == (0.0, 1.0, 0.0)


def test_the_probabilities_are_those_of_the_answer_and_not_of_letters_within_thoughts(question):
    document = completion("<think>B</think>B", {"A": math.log(0.25), "B": math.log(0.75)})
    answer = document["choices"][0]["logprobs"]["content"][0] | {"token": "B"}
    thought = {"token": "B", "logprob": -0.1, "top_logprobs": [{"token": "B", "logprob": 0.0}]}
    document["choices"][0]["logprobs"]["content"] = [thought, {"token": "</think>", "logprob": 0.0}, answer]
    with ChatServer(document) as server:
        assert ask(server, question, think="low")[0].probabilities == pytest.approx((0.25, 0.75, 0.0))


def test_an_answer_that_is_cut_doubles_the_cap_once_and_for_the_run(question):
    def answer(body):
        return SOFT if body["max_tokens"] >= 208 else cut("<think>Let me see")

    with ChatServer(answer) as server:
        first, second = ask(server, question, question, think="100")
        assert [body["max_tokens"] for _, body in server.bodies] == [104, 208, 208]
    assert (first.tokens, second.tokens) == (202, 101), "the call that was cut was paid for, too"
    assert first.cost_usd == pytest.approx(2 * 102e-6)


@pytest.mark.parametrize(
    "thoughts", [cut("<think>Let me"), cut(None, reasoning_content="Let me"), cut("", reasoning="M")]
)
def test_a_model_that_only_thinks_ends_the_run_and_names_the_remedy(question, thoughts):
    with ChatServer(thoughts) as server:
        with pytest.raises(TeacherError, match="thoughts") as caught:
            ask(server, question, question, question)
        efforts = [(body.get("reasoning_effort"), body["max_tokens"]) for _, body in server.bodies]
        assert efforts == [(None, 4), ("none", 4), ("minimal", 4), *[("minimal", 8)] * 3]
    assert "--think low" in caught.value.hint


def test_where_others_answered_it_is_a_failure(question):
    with ChatServer(SOFT, cut("<think>Let me")) as server:
        _, *failures = ask(server, *[question] * 5)
    assert all(isinstance(failure, Failure) and "--think low" in failure.reason for failure in failures)


def test_a_public_model_that_thinks_to_its_cap_is_known_by_its_words(question):
    words = "Could not finish the message because max_tokens or model output limit was reached."
    with ChatServer((400, {"error": {"message": words}}, {})) as server:
        with pytest.raises(TeacherError, match="thoughts"):
            ask(server, question, question, question)
        assert [body["max_tokens"] for _, body in server.bodies] == [4, 4, 4, 8, 8, 8]


def test_thinking_is_an_option_of_the_command(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    command = ["label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 2, "--ask", "best",
               "--budget", 12, "--json"]  # fmt: skip
    with ChatServer() as server:
        plain = vdistill(*command, "--endpoint", server.url, cwd=tmp_path)
        thinking = vdistill(*command, "--endpoint", server.url, "--think", "300", cwd=tmp_path)
        assert (plain.json["reused"], thinking.json["reused"]) == (0, 0), "answers after thoughts are others"
        assert server.bodies[-1][1]["max_tokens"] == 304
        again = vdistill(*command, "--endpoint", server.url, cwd=tmp_path, env={"VDISTILL_THINK": "300"})
        assert again.json["calls"] == 0
    assert "--think" in errors(vdistill(*command, "--endpoint", server.url, "--think", "hard", cwd=tmp_path))[0]


@pytest.mark.parametrize("said", ["high", "-1", "0", "1.5", "", "٣"])
def test_another_amount_of_thinking_is_refused(said):
    with pytest.raises(VdistillError, match="--think"):
        read_thinking(said)


def test_no_thinking_is_the_default():
    assert TeacherOptions().thinking == read_thinking("off") == Thinking()


@pytest.mark.parametrize(("known", "tried"), [("none", [None, "none"]), ("minimal", [None, "none", "minimal"])])
def test_a_model_that_thinks_unasked_is_asked_not_to_in_the_words_that_its_server_knows(question, known, tried):
    """Ollama knows the effort `none`, some of OpenAI's models `minimal`; who does not think is sent neither."""

    def answer(body):
        effort = body.get("reasoning_effort")
        if effort not in (None, known):
            return refusal(f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model.")
        return SOFT if effort else cut("", reasoning="Let me see")

    said = []
    with ChatServer(answer) as server:
        answers = ask(server, question, question, said=said)
        assert [body.get("reasoning_effort") for _, body in server.bodies] == [*tried, known]
        assert {body["max_tokens"] for _, body in server.bodies} == {4}
    assert all(isinstance(answer, Answer) for answer in answers)
    assert answers[0].tokens == 202
    assert any(f"reasoning_effort {known}" in text for text in said)


def test_a_letter_that_was_cut_may_be_part_of_a_thought(question):
    with ChatServer(cut("B"), cut("B")) as server:
        (answer,) = ask(server, question, think="100")
        assert [body["max_tokens"] for _, body in server.bodies] == [104, 208]
    assert "part of a thought" in answer.reason


def test_probabilities_of_a_thought_alone_are_not_those_of_the_answer(question):
    document = completion("B", reasoning_content="A or B. B.")
    thought = {"token": "B", "logprob": -0.1, "top_logprobs": [{"token": "B", "logprob": 0.0}]}
    document["choices"][0]["logprobs"] = {"content": [thought, {"token": "</think>", "logprob": 0.0}]}
    with ChatServer(document) as server:
        (answer,) = ask(server, question, think="100")
    assert (answer.probabilities, answer.coverage) == ((0.0, 1.0, 0.0), None)


@pytest.mark.parametrize(
    ("message", "usage", "paid", "thought"),
    [
        ({}, {"completion_tokens": 301, "completion_tokens_details": {"reasoning_tokens": 300}}, 301, 300),
        ({"reasoning": "Hm."}, {"completion_tokens": 301}, 301, 300),
        ({}, {"completion_tokens": 1, "total_tokens": 401, "completion_tokens_details": {"reasoning_tokens": 300}}, 301,
         300),
        ({}, {"completion_tokens": 1}, 1, 0),
    ],
    ids=["counted apart", "in a field", "in the total alone", "none"],
)  # fmt: skip
def test_what_was_thought_is_paid_however_it_is_counted(question, message, usage, paid, thought):
    document = completion("B", **message) | {"usage": {"prompt_tokens": 100, **usage}}
    with ChatServer(document) as server:
        (answer,) = ask(server, question, think="low")
    assert (answer.tokens, answer.thought_tokens) == (100 + paid, thought)
    assert answer.cost_usd == pytest.approx((100 + 2 * paid) * 1e-6)


@pytest.mark.parametrize(
    "words",
    ["thinking_token_budget is not yet supported by the V2 model runner.",
     "thinking_token_budget is set but reasoning_config is not configured. Please set it."],
)  # fmt: skip
def test_a_server_that_cannot_close_thoughts_is_asked_without_a_budget(question, words):
    def answer(body):
        return refusal(words) if "thinking_token_budget" in body else SOFT

    with ChatServer(answer) as server:
        (answer,) = ask(server, question, think="100")
        assert [body.get("thinking_token_budget") for _, body in server.bodies] == [100, None]
    assert isinstance(answer, Answer)


def thinker(body):
    """Thinks of every letter, 100 to 900 tokens long, and shows it in one of three ways; the question tells the answer.

    Seven tenths of the letters' probability are the answer's.
    """
    drawn = hashlib.sha256(json.dumps(body["messages"]).encode()).digest()
    length, letter = 100 + 800 * drawn[0] // 255, "AB"[drawn[1] % 2]
    if body["max_tokens"] < length + 4:
        return cut("<think>B") | {"usage": {"prompt_tokens": 400, "completion_tokens": body["max_tokens"]}}
    masses = {letter: math.log(0.7), "BA"["AB".index(letter)]: math.log(0.2)}
    document = completion(letter, masses)
    message, content = document["choices"][0]["message"], document["choices"][0]["logprobs"]["content"]
    other = "BA"["AB".index(letter)]
    thought = {"token": other, "logprob": 0.0, "top_logprobs": [{"token": other, "logprob": 0.0}]}
    document["choices"][0]["logprobs"]["content"] = [thought, {"token": "</think>", "logprob": 0.0}, *content]
    document["usage"] = {"prompt_tokens": 400, "completion_tokens": length + 1}
    if drawn[2] % 3 == 0:
        message["content"] = f"<think>A? B? {other}.</think>\n\n{letter}"
    elif drawn[2] % 3 == 1:
        message["reasoning_content"] = f"A? B? {other}."
    else:
        document["usage"]["completion_tokens_details"] = {"reasoning_tokens": length}
    return document


@pytest.fixture
def shop(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("\n".join(QUERIES) + "\n")

    def label(server, *options):
        command = ["label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--queries", "q.txt", "--ask",
                   "best", "--images-per-call", 2, "--holdout", 0, "--think", 1000, "--json"]  # fmt: skip
        return vdistill(*command, *options, cwd=tmp_path, env={"VDISTILL_USD_PER_MILLION": "1,4"})

    label.home = tmp_path
    return label


def stored(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return [judgment.answer for judgment in database.judgments()]


def test_a_plan_knows_what_thoughts_cost_once_there_are_answers(shop):
    with ChatServer(thinker) as server:
        before = shop(server, "--budget", 60, "--dry-run")
        assert "is not known yet" in before.err
        assert shop(server, "--budget", 30).json["failed"] == 0
        plan, paid = shop(server, "--budget", 180, "--dry-run"), shop(server, "--budget", 180).json
        assert "priced by the last" in plan.err
        assert (paid["failed"], paid["calls"]) == (0, plan.json["calls"])
        assert plan.json["cost_usd"] == pytest.approx(paid["cost_usd"], rel=0.1)
        assert plan.json["tokens"] == pytest.approx(paid["tokens"], rel=0.1)
        assert before.json["cost_usd"] / 60 > paid["cost_usd"] / paid["calls"], "all thoughts that are allowed"
    answers = stored(shop.home)
    assert sum(answer.thought_tokens for answer in answers) > 0.5 * sum(answer.tokens for answer in answers)
    assert [max(answer.probabilities) for answer in answers] == pytest.approx([7 / 9] * len(answers))
    assert [answer.coverage for answer in answers] == pytest.approx([0.9] * len(answers))


def test_a_cap_in_dollars_is_planned_by_the_first_answers_and_so_by_every_later_run(shop):
    with ChatServer(thinker) as server:
        first = shop(server, "--max-cost", 0.3)
        assert "planned by that" in first.err
        assert 0.25 <= first.json["cost_usd"] <= 0.3
        assert first.json["judgments"] == first.json["calls"] == server.calls
        again = shop(server, "--max-cost", 0.3)
        assert (again.json["calls"], server.repeated) == (0, 0)


def rendered(table):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_an_audit_shows_what_is_thought_and_how_much_the_letters_are_meant(shop):
    with ChatServer(thinker) as server:
        found = shop(server, "--audit", 60).json
    assert found["coverage"] == pytest.approx(0.9)
    assert 300 <= found["thought_tokens"] <= 700
    assert "tokens an answer" in rendered(audit_table(found))
