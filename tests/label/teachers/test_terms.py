"""What servers refuse of a request: learnt from their words, of what was sent; remembered; and told apart in keys."""

import json
import sqlite3
import threading
from contextlib import closing

import pytest

from chat_server import ChatServer, completion, refusal
from chat_teacher import SOFT, teacher_at
from command_line import vdistill
from vdistill.records import Answer, Failure

NO_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)


@pytest.fixture
def shop_of_four(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    return tmp_path


def label(home, server, *options, model="vlm"):
    done = vdistill("label", "catalog", "--teacher", model, "--endpoint", server.url, "--queries", "q.txt",
                    "--images-per-call", 3, "--budget", 24, "--ask", "best", *options, "--json", cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    return done


def refuses(field, words, then=SOFT):
    """A server that takes everything but one field."""
    return lambda body: refusal(words) if field in body else then


@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_calls_under_way_beside_the_first_that_is_refused_are_not_lost(shop_of_four, concurrency):
    with ChatServer(refuses("top_k", "Unknown parameter: 'top_k'"), delay=0.02) as server:
        done = label(shop_of_four, server, "--concurrency", concurrency)
        assert done.json["failed"] == 0
        assert done.json["judgments"] == done.json["calls"] == server.calls - 1
        assert done.err.count("without top_k") == 1
        again = label(shop_of_four, server, "--concurrency", concurrency)
    assert (again.json["calls"], again.json["reused"]) == (0, done.json["judgments"])
    assert "top_k" not in again.err


def test_a_thread_whose_field_another_one_has_learnt_of_asks_again(question):
    """Eight requests with the field are under way before the first refusal comes."""
    together = threading.Barrier(8)

    def answer(body):
        if "top_k" not in body:
            return SOFT
        together.wait(5)
        return refusal("Unknown parameter: 'top_k'")

    with ChatServer(answer) as server:
        teacher, answers = teacher_at(server), []
        threads = [threading.Thread(target=lambda: answers.extend(teacher.ask([question]))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        teacher.close()
    assert len(answers) == 8
    assert all(isinstance(answer, Answer) for answer in answers)


def test_what_is_refused_is_remembered_by_the_workspace(shop_of_four):
    with ChatServer(refuses("top_k", "Unknown parameter: 'top_k'")) as server:
        label(shop_of_four, server)
        before = server.calls
        (shop_of_four / "q.txt").write_text("five\nsix\nseven\neight\n")
        label(shop_of_four, server)
        assert all("top_k" not in body for _, body in server.bodies[before:])
        label(shop_of_four, server, model="another")
        assert sum("top_k" in body for _, body in server.bodies[before:]) == 1, "of this model nothing is known"


def test_answers_sampled_differently_are_kept_apart(shop_of_four):
    with ChatServer(SOFT) as takes, ChatServer(refuses("temperature", NO_TEMPERATURE)) as own:
        first = label(shop_of_four, own, "--concurrency", 8)
        other = label(shop_of_four, takes)
        assert other.json["reused"] == 0
        assert other.json["judgments"] == first.json["judgments"]
        assert label(shop_of_four, own).json["calls"] == 0, "nothing is asked twice"
        assert label(shop_of_four, takes).json["calls"] == 0
    with closing(sqlite3.connect(shop_of_four / ".vdistill" / "vdistill.db")) as database:
        prompts = {row[0] for row in database.execute("SELECT prompt FROM judgments")}
    assert prompts == {"1/768px", "1/768px/without temperature"}


def test_an_audit_is_not_confused_by_what_its_first_call_finds(shop_of_four):
    (shop_of_four / "q.txt").write_text("".join(f"query {number}\n" for number in range(20)))
    with ChatServer(refuses("temperature", NO_TEMPERATURE)) as server:
        done = vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--queries", "q.txt",
                        "--audit", 30, "--json", cwd=shop_of_four)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["failed"] == 0


def test_a_sampling_field_that_is_refused_later_asks_nothing_anew(question):
    said = []
    with ChatServer(SOFT, refusal(NO_TEMPERATURE), SOFT) as server:
        teacher = teacher_at(server, said)
        assert not teacher.settled
        answers = teacher.ask([question, question])
        teacher.close()
    assert all(isinstance(answer, Answer) for answer in answers)
    assert teacher.settled
    assert teacher.prompt == "1/768px"
    assert any("without temperature" in text for text in said)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"error": {"message": NO_TEMPERATURE, "param": "temperature", "code": "unsupported_value"}}, "temperature"),
        ({"error": {"message": "Unrecognized request argument supplied: top_k"}}, "top_k"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]},
         "top_k"),
        ({"message": "structured_outputs: Extra inputs are not permitted"}, "structured_outputs"),
        ([{"error": {"code": 400, "message": 'Invalid JSON payload. Unknown name "top_k": Cannot find field.'}}],
         "top_k"),
        ({"error": {"message": "`temperature` and `top_p` cannot both be specified for this model."}}, "top_p"),
        ({"error": {"message": "invalid temperature: only 1 is allowed for this model"}}, "temperature"),
        ({"error": {"message": "chat_template_kwargs is not supported for Mistral."}}, "chat_template_kwargs"),
        ({"error": {"message": "Logprobs is not enabled for models/x"}}, "logprobs"),
        ({"error": {"message": "Provider returned error", "code": 400, "metadata": {
            "raw": json.dumps({"error": {"message": "Unsupported parameter: 'temperature'"}})}}}, "temperature"),
        ("property 'top_k' is unsupported", "top_k"),
    ],
)  # fmt: skip
def test_words_that_refuse_a_field_take_it_away_and_no_other(question, document, field):
    with ChatServer((400, document, {}), SOFT) as server:
        teacher = teacher_at(server)
        assert isinstance(teacher.ask([question])[0], Answer)
        teacher.close()
        (_, before), (_, after) = server.bodies
    gone = {field, "top_logprobs"} if field == "logprobs" else {field}
    assert set(before) - set(after) == gone


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens, you asked for 4200. Shorten the messages or reduce "
        "max_tokens.",
        "max_tokens must be at least 1, got -173",
        "Invalid image: decoding failed. Request: temperature 0, top_k -1, logprobs true",
        "Unsupported image type. Allowed beside temperature and top_k are jpeg and png",
        "The temperature of the server room is high",
    ],
)
def test_an_error_that_only_mentions_a_field_teaches_nothing(question, words):
    with ChatServer(refusal(words), SOFT) as server:
        teacher = teacher_at(server)
        failure, answer = teacher.ask([question, question])
        teacher.close()
        (_, first), (_, second) = server.bodies
    assert isinstance(failure, Failure)
    assert words[:20] in failure.reason
    assert isinstance(answer, Answer)
    assert first == second


def test_the_cap_on_tokens_is_renamed_and_never_lost(question):
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with ChatServer(refuses("max_tokens", words)) as server:
        teacher = teacher_at(server)
        teacher.ask([question, question])
        teacher.close()
        assert [body.get("max_completion_tokens") for _, body in server.bodies] == [None, 4, 4]
        assert teacher.prompt == "1/768px", "the answers are the same"


def test_the_lowest_cap_that_a_server_accepts_is_kept_to(question):
    words = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 4 instead."

    def answer(body):
        return refusal(words.replace("max_output_tokens", "max_tokens")) if body["max_tokens"] < 16 else SOFT

    with ChatServer(answer) as server:
        teacher = teacher_at(server)
        assert isinstance(teacher.ask([question])[0], Answer)
        teacher.close()
        assert server.bodies[-1][1]["max_tokens"] == 16


@pytest.mark.parametrize(
    ("words", "tried"),
    [
        ("top_logprobs must be at most 5", [20, 5]),
        ("Requested sample logprobs of 20, which is greater than max allowed: 10", [20, 10]),
        ("Invalid 'top_logprobs': integer above maximum value. Expected a value <= 8, but got 20 instead.", [20, 8]),
        ("top_logprobs is too large", [20, 5, 2]),
    ],
)
def test_fewer_alternatives_are_asked_for_where_a_server_gives_fewer(question, words, tried):
    most = tried[-1]
    with ChatServer(lambda body: refusal(words) if body["top_logprobs"] > most else SOFT) as server:
        teacher = teacher_at(server)
        assert teacher.ask([question])[0].probabilities == pytest.approx((0.142, 0.858, 0.0), abs=1e-3)
        teacher.close()
        assert [body["top_logprobs"] for _, body in server.bodies] == tried


@pytest.mark.parametrize("status", [400, 403])
def test_a_model_without_log_probabilities_is_asked_without_them(question, status):
    words = "You are not allowed to request logprobs from this model"
    with ChatServer(lambda body: refusal(words, status) if "logprobs" in body else completion("B")) as server:
        teacher = teacher_at(server)
        assert teacher.ask([question])[0].probabilities == (0.0, 1.0, 0.0)
        teacher.close()
        assert teacher.hard_answers
        assert server.calls == 2


def test_a_question_that_a_filter_flags_is_a_failure_and_does_not_stop_the_run(question):
    flagged = refusal("Your chosen model requires moderation and your input was flagged", 403)
    with ChatServer(flagged, SOFT) as server:
        teacher = teacher_at(server)
        failure, answer = teacher.ask([question, question])
        teacher.close()
    assert isinstance(failure, Failure)
    assert isinstance(answer, Answer)


def test_hosted_models_of_qwen_are_told_in_their_own_field_not_to_think(question):
    words = "parameter.enable_thinking must be set to false for non-streaming calls"
    with ChatServer(lambda body: SOFT if body.get("enable_thinking") is False else refusal(words)) as server:
        teacher = teacher_at(server)
        assert isinstance(teacher.ask([question])[0], Answer)
        teacher.close()
