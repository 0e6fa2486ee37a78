"""The chat API teacher against a real server on loopback, with every fault that servers have shown."""

import base64
import email.utils
import io
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import chat_teacher
from chat_server import ChatServer, completion
from command_line import errors, vdistill
from vdistill.errors import TeacherError
from vdistill.label.prompts import Wording
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import chat_endpoint
from vdistill.label.teachers.model_images import ImageCache
from vdistill.label.teachers.openai_api import OpenAITeacher, Patience
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure, Question

QUICK = replace(chat_teacher.QUICK, timeout=0.5)
SECRET = "sk-very-secret"


def ask(server, question, **how):
    return chat_teacher.ask(server, question, **{"patience": QUICK} | how)[0]


def test_log_probabilities_of_the_letters_become_probabilities(question):
    tokens = {"A": math.log(0.2), "B": math.log(0.3), " B": math.log(0.2), "b": math.log(0.1), "x": -1}
    with ChatServer(completion("B", tokens)) as server:
        answer = ask(server, question)
    assert answer.probabilities == pytest.approx((0.25, 0.75, 0.0))
    assert (answer.tokens, answer.cost_usd) == (101, pytest.approx(102e-6))


def test_what_is_sent(question, monkeypatch):
    monkeypatch.setenv("VDISTILL_API_KEY", SECRET)
    with ChatServer() as server:
        ask(server, question)
    path, body = server.bodies[0]
    assert path == "/v1/chat/completions"
    assert body["structured_outputs"] == {"choice": ["A", "B", "C"]}
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"], body["temperature"]) == (True, 20, 4, 0)
    images = [part for part in body["messages"][1]["content"] if part["type"] == "image_url"]
    assert len(images) == 3
    assert all(image["image_url"]["url"].startswith("data:image/jpeg;base64,") for image in images)
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(body)


def test_prices_come_from_the_environment(question, monkeypatch):
    monkeypatch.setenv("VDISTILL_USD_PER_MILLION", "1, 2")
    with ChatServer() as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url), say=print)
        assert teacher.ask([question])[0].cost_usd == pytest.approx(102e-6)
    assert teacher.price(question).usd > 1e-3


def test_prices_that_are_not_numbers_are_refused(monkeypatch):
    monkeypatch.setenv("VDISTILL_USD_PER_MILLION", "cheap")
    with pytest.raises(TeacherError, match="VDISTILL_USD_PER_MILLION"):
        OpenAITeacher("vlm", TeacherOptions(endpoint=None), say=print)


def test_it_is_a_teacher():
    teacher = OpenAITeacher("vlm", TeacherOptions(endpoint="http://127.0.0.1:9/v1/", concurrency=2), say=print)
    assert isinstance(teacher, Teacher)
    assert teacher.name == "openai:vlm"


@pytest.mark.parametrize("text", ["C, A, B", "CAB", "c > a > b", "1. C\n2. A\n3. B", "C, A and B."])
def test_a_ranking(question, text):
    with ChatServer(completion(text)) as server:
        answer = ask(server, Question(question.query, question.images, "rank"))
    assert answer.order == (2, 0, 1)


def test_without_log_probabilities_the_hard_answer_counts_and_the_user_is_told_once(question):
    said = []
    with ChatServer(completion(" b. ")) as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url), say=said.append, patience=QUICK)
        answers = teacher.ask([question, question])
    assert [answer.probabilities for answer in answers] == [(0.0, 1.0, 0.0)] * 2
    assert len(said) == 1


@pytest.mark.parametrize("of_b", [-9999.0, -0.1])
def test_log_probabilities_that_contradict_the_answer_are_not_used(question, of_b):
    with ChatServer(completion("A", {"A": float("-inf"), "B": of_b})) as server:
        assert ask(server, question).probabilities == (1.0, 0.0, 0.0)


def test_the_chosen_letter_counts_though_it_is_not_among_the_likeliest_that_are_listed(question):
    document = completion("C", {"A": math.log(0.2), "B": math.log(0.1)})
    document["choices"][0]["logprobs"]["content"][0]["logprob"] = math.log(0.7)
    with ChatServer(document) as server:
        assert ask(server, question).probabilities == pytest.approx((0.2, 0.1, 0.7))


def test_a_letter_that_the_model_hardly_meant_is_a_failure_and_never_a_preference(question):
    tokens = {"So": -0.58, "Got": -0.82, "Okay": -10.0, "A": -14.0, "C": -14.4}
    with ChatServer(completion("A", tokens)) as server:
        answer = ask(server, question)
    assert isinstance(answer, Failure)
    assert "of the model's probability" in answer.reason


def test_letters_with_less_than_half_of_the_probability_are_used_and_the_user_is_told_once(question):
    said = []
    with ChatServer(completion("A", {"So": math.log(0.7), "A": math.log(0.2), "B": math.log(0.1)})) as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url), say=said.append, patience=QUICK)
        answers = teacher.ask([question, question])
        teacher.close()
    assert [answer.probabilities for answer in answers] == [pytest.approx((2 / 3, 1 / 3, 0.0))] * 2
    assert len(said) == 1
    assert "30%" in said[0]


def test_a_token_listed_twice_counts_once_and_other_spellings_add(question):
    document = completion("B", {"A": math.log(0.4), " B": math.log(0.1), "B": math.log(0.3)})
    options = document["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    options.append(dict(options[-1]))
    with ChatServer(document) as server:
        assert ask(server, question).probabilities == pytest.approx((0.5, 0.5, 0.0))


@pytest.mark.parametrize(
    "fault",
    [(429, {"error": {"message": "slow down"}}, {}), (500, "oops", {}), (503, "", {}), "hang", "reset"],
)
def test_what_can_pass_is_tried_again(question, fault):
    with ChatServer(fault, fault, completion("B", {"B": -0.1})) as server:
        assert ask(server, question).probabilities == (0.0, 1.0, 0.0)
        assert server.calls == 3


@pytest.mark.parametrize("fault", [(429, "slow down", {}), (500, "oops", {}), "hang", "reset"])
def test_what_does_not_pass_is_a_failure_after_the_last_try(question, fault):
    with ChatServer(fault) as server:
        answer = ask(server, question)
        assert isinstance(answer, Failure)
        assert "gave up after 3 tries" in answer.reason
        assert server.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "Rate limit exceeded", "code": 429}},
        {"error": {"message": "slow down", "code": "rate_limit_exceeded"}},
        {"error": {"message": "The model is overloaded", "type": "overloaded_error"}},
        {"object": "error", "message": "busy", "code": 503},
        {"choices": [{"error": {"message": "upstream failed", "code": 502}, "message": {"content": ""}}]},
    ],
)
def test_an_error_within_an_answer_is_treated_by_its_own_status(question, error):
    with ChatServer(error, completion("B", {"B": -0.1})) as server:
        assert ask(server, question).probabilities == (0.0, 1.0, 0.0)
        assert server.calls == 2


@pytest.mark.parametrize(
    "error", [{"message": "Insufficient credits", "code": 402}, {"message": "no key", "code": "401"}]
)
def test_an_error_within_an_answer_that_no_call_can_change_stops_at_once(question, error):
    with ChatServer({"error": error}) as server:
        with pytest.raises(TeacherError, match=error["message"]):
            ask(server, question)
        assert server.calls == 1


def test_an_error_within_an_answer_without_a_known_code_is_a_failure_with_its_words(question):
    with ChatServer({"error": {"message": "bad image"}}) as server:
        assert "bad image" in ask(server, question).reason
        assert server.calls == 1


def test_an_error_that_is_null_is_no_error(question):
    with ChatServer({**completion("B", {"B": -0.1}), "error": None}) as server:
        assert ask(server, question).probabilities == (0.0, 1.0, 0.0)


def test_a_server_that_says_0_and_goes_on_refusing_is_waited_for(question):
    patience = Patience(timeout=1, attempts=5, backoff=0.1)
    started = time.monotonic()

    def answer(_):
        busy = time.monotonic() - started < 0.4
        return (429, {"error": {"message": "busy"}}, {"Retry-After": "0"}) if busy else completion("B", {"B": -0.1})

    with ChatServer(answer) as server:
        assert ask(server, question, patience=patience).probabilities == (0.0, 1.0, 0.0)
        assert server.calls <= 5


@pytest.mark.parametrize("how", ["seconds", "date", "milliseconds"])
def test_retry_after_is_honoured(question, how):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    headers = {
        "seconds": {"Retry-After": "0.25"},
        "date": {"Retry-After": date},
        "milliseconds": {"Retry-After-Ms": "250"},
    }
    started = time.monotonic()
    with ChatServer((429, "slow down", headers[how]), completion("B", {"B": -0.1})) as server:
        ask(server, question)
    assert 0.2 < time.monotonic() - started < 1.5, "honoured, and never longer than the longest wait"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{nonsense", "not JSON"),
        ({"choices": []}, "no choices"),
        ({}, "no choices"),
        (completion("Z"), "not one of the letters"),
        (completion("I think that B suits best"), "not one of the letters"),
        (completion(""), "not one of the letters"),
        (completion(None), "no text"),
        (completion(None, refusal="I cannot judge people"), "refused"),
        ((400, {"error": {"message": "bad image"}}, {}), "HTTP 400: bad image"),
    ],
)
def test_an_unreadable_answer_is_a_failure_and_never_a_guess(question, document, reason):
    with ChatServer(document) as server:
        answer = ask(server, question)
        assert isinstance(answer, Failure)
        assert reason in answer.reason
        assert server.calls == 1


@pytest.mark.parametrize(
    "document",
    [
        [],
        "B",
        7,
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "B"}]},
    ],
)
def test_a_document_of_another_shape_is_a_failure(question, document):
    with ChatServer((200, document if isinstance(document, dict) else json.dumps(document), {})) as server:
        assert isinstance(ask(server, question), Failure)


@pytest.mark.parametrize(
    "logprobs",
    [None, 3, {}, {"content": None}, {"content": [None, {"token": "B", "top_logprobs": [1, {"token": "B"}]}]}],
)
def test_log_probabilities_of_another_shape_are_ignored(question, logprobs):
    document = completion("B")
    document["choices"][0]["logprobs"] = logprobs
    document["usage"] = "many"
    with ChatServer(document) as server:
        answer = ask(server, question)
    assert (answer.probabilities, answer.tokens) == ((0.0, 1.0, 0.0), 0)


def test_an_apology_is_not_the_letter_i(question):
    nine = Question("a gift", question.images * 3)
    with ChatServer(completion("I'm sorry,", {"I": -0.1})) as server:
        assert isinstance(ask(server, nine), Failure)


def test_more_images_than_letters_stop_at_once(question):
    with ChatServer() as server, pytest.raises(TeacherError, match="at most 9") as caught:
        ask(server, Question("a gift", question.images * 4))
    assert "--images-per-call 9" in caught.value.hint


def test_the_public_service_is_not_sent_the_fields_that_it_refuses(question, monkeypatch):
    with ChatServer() as server:
        monkeypatch.setattr(chat_endpoint, "PUBLIC", f"{server.url}/v1")
        OpenAITeacher("vlm", TeacherOptions(endpoint=None), say=print, patience=QUICK).ask([question])
    path, body = server.bodies[0]
    assert path == "/v1/chat/completions"
    assert not {"structured_outputs", "top_k"} & set(body)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_an_endpoint_may_end_in_v1_or_not(question, end):
    with ChatServer() as server:
        OpenAITeacher("vlm", TeacherOptions(endpoint=server.url + end), say=print).ask([question])
    assert server.bodies[0][0] == "/v1/chat/completions"


def test_the_query_part_of_an_endpoint_is_kept(question):
    with ChatServer() as server:
        OpenAITeacher("vlm", TeacherOptions(endpoint=f"{server.url}/llm/v1?version=2"), say=print).ask([question])
    assert server.bodies[0][0] == "/llm/v1/chat/completions?version=2"


@pytest.mark.parametrize("text", ["C, A", "C, A, A", "A is better than C, and C better than B", ""])
def test_an_order_that_misses_a_letter_or_hides_in_prose_is_a_failure(question, text):
    with ChatServer(completion(text)) as server:
        assert isinstance(ask(server, Question(question.query, question.images, "rank")), Failure)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refused_key_or_model_stops_at_once_without_showing_the_key(question, status, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with ChatServer((status, {"error": {"message": "no such thing"}}, {})) as server:
        with pytest.raises(TeacherError, match="no such thing") as caught:
            ask(server, question)
        assert server.calls == 1
    assert SECRET not in caught.value.message + caught.value.hint


def test_an_account_without_credit_stops_at_once(question):
    fault = (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, {})
    with ChatServer(fault) as server:
        with pytest.raises(TeacherError, match="exceeded") as caught:
            ask(server, question)
        assert server.calls == 1
    assert "credit" in caught.value.hint


def test_a_redirect_is_not_followed_with_the_key(question, monkeypatch):
    monkeypatch.setenv("VDISTILL_API_KEY", SECRET)
    with ChatServer() as elsewhere:
        with ChatServer((307, "", {"Location": f"{elsewhere.url}/v1/chat/completions"})) as server:
            assert "HTTP 307" in ask(server, question).reason
        assert elsewhere.calls == 0


def test_no_model_is_refused():
    with pytest.raises(TeacherError, match="no model"):
        OpenAITeacher(" ", TeacherOptions(endpoint=None), say=print)


def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_error(question, monkeypatch):
    monkeypatch.setenv("VDISTILL_API_KEY", SECRET)
    for status in (401, 400, 500):
        with ChatServer((status, {"error": {"message": f"Incorrect API key: {SECRET}"}}, {})) as server:
            try:
                said = ask(server, question).reason
            except TeacherError as error:
                said = error.message + error.hint
        assert "Incorrect API key" in said
        assert SECRET not in said


def test_a_key_that_no_header_can_hold_is_not_shown_either(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ключ")
    with pytest.raises(TeacherError, match="OPENAI_API_KEY") as caught:
        OpenAITeacher("vlm", TeacherOptions(endpoint=None), say=print)
    assert "ключ" not in caught.value.message + caught.value.hint


def test_a_server_that_does_not_run_stops_at_once(question):
    with ChatServer() as server:
        pass
    with pytest.raises(TeacherError, match="cannot reach") as caught:
        ask(server, question)
    assert "--endpoint" in caught.value.hint


def test_a_server_that_goes_away_is_waited_for(question):
    with ChatServer() as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url), say=print, patience=QUICK)
        teacher.ask([question])
    (answer,) = teacher.ask([question])
    teacher.close()
    assert "gave up after 3 tries" in answer.reason


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "words",  # of vLLM 0.5 to 0.10 and after
    [
        "At most {limit} image(s) may be provided in one prompt.",
        "You set image={limit} (or defaulted to 1) in `--limit-mm-per-prompt`, but found 3 items in the same prompt.",
        "You set or defaulted to '{{\"image\": {limit}}}' in `--limit-mm-per-prompt`, but passed 3 image items.",
    ],
)
def test_a_limit_on_images_names_the_remedy(question, words, status):
    for limit, remedy in ((1, "--limit-mm-per-prompt"), (2, "--images-per-call 2")):
        fault = (status, {"error": {"message": words.format(limit=limit)}}, {})
        with ChatServer(fault) as server, pytest.raises(TeacherError) as caught:
            ask(server, question)
        assert f"at most {limit} image" in caught.value.message
        assert remedy in caught.value.hint


def test_an_image_that_cannot_be_read_is_a_failure_without_a_call(question, tmp_path):
    (tmp_path / "0.png").write_bytes(b"")
    with ChatServer() as server:
        answer = ask(server, question)
        assert isinstance(answer, Failure)
        assert "0.png cannot be read" in answer.reason
        assert server.calls == 0


def test_an_endpoint_that_is_not_a_url_is_refused():
    with pytest.raises(TeacherError, match="not a valid URL"):
        OpenAITeacher("vlm", TeacherOptions(endpoint="localhost:8000"), say=print)


def test_the_price_table_of_the_configuration_counts(tmp_path, catalog):
    (tmp_path / "vdistill.toml").write_text('[prices]\n"vlm" = [10.0, 20.0]\n"other" = [1, 1]\n')
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    command = ["label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 2, "--json"]
    with ChatServer() as server:
        planned = vdistill(*command, "--endpoint", server.url, "--budget", 20, "--dry-run", cwd=tmp_path)
        assert planned.json["cost_usd"] > 0
        done = vdistill(*command, "--endpoint", server.url, "--budget", 20, cwd=tmp_path)
        assert done.json["cost_usd"] == pytest.approx(done.json["calls"] * (100 * 10 + 1 * 20) / 1e6)
        capped = vdistill(*command, "--endpoint", server.url, "--max-cost", 0.04, "-w", "other", cwd=tmp_path)
        assert 0 < capped.json["cost_usd"] <= 0.04


@pytest.mark.parametrize("prices", ['"vlm" = 3', '"vlm" = [1]', '"vlm" = [-1, 2]', '"vlm" = ["a", "b"]'])
def test_odd_prices_are_an_error(tmp_path, catalog, prices):
    (tmp_path / "vdistill.toml").write_text(f"[prices]\n{prices}\n")
    done = vdistill("label", "catalog", "--teacher", "openai:vlm", "--dry-run", cwd=tmp_path)
    assert "the prices of 'vlm'" in errors(done)[0]


def test_no_more_calls_a_minute_than_allowed(question):
    with ChatServer() as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url, calls_per_minute=3), say=print)
        try:
            started = time.monotonic()
            for _ in range(3):
                teacher.ask([question])
            assert time.monotonic() - started < 5, "a burst within the limit waits for nothing"
            limit = teacher._client._limit
            assert not limit.try_acquire("calls", blocking=False), "the fourth would have to wait"
        finally:
            teacher.close()


def test_images_are_kept_as_they_are_sent_within_a_bound_of_bytes(question):
    roomy, tight = ImageCache(768, None), ImageCache(768, None, most_bytes=3_000)
    uris = [[cache.data_uri(image) for image in question.images * 2] for cache in (roomy, tight)]
    assert uris[0] == uris[1]
    assert 3_000 < roomy.nbytes < 50_000
    assert 0 < tight.nbytes <= 3_000
    for image in question.images:
        Path(image.file).unlink()
    assert [roomy.data_uri(image) for image in question.images] == uris[0][:3], "each was read once"


def test_max_pixels_bounds_what_is_sent_and_is_part_of_the_prompt(question):
    with ChatServer() as server:
        ask(server, question, max_pixels=10_000)
        url = server.bodies[0][1]["messages"][1]["content"][3]["image_url"]["url"]
        sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        assert sent.width * sent.height <= 10_000
    plain, bounded = (OpenAITeacher("vlm", TeacherOptions(endpoint="http://x", max_pixels=most), say=print)
                      for most in (None, 10_000))  # fmt: skip
    assert plain.prompt != bounded.prompt


def test_another_wording_is_sent_and_is_part_of_the_prompt(question):
    with ChatServer() as server:
        ask(server, question, wording=replace(Wording(), best="Which?", version="1+x"))
        assert server.bodies[0][1]["messages"][1]["content"][-1]["text"].endswith("\nWhich?")


def test_a_teacher_without_probabilities_is_asked_to_rank(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    command = ["label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 3, "--budget", 20,
               "--json"]  # fmt: skip
    with ChatServer(completion("B"), completion("C, A, B")) as server:
        done = vdistill(*command, "--endpoint", server.url, cwd=tmp_path)
        assert "is asked to rank" in done.err
        assert done.json["calls"] == done.json["judgments"] == server.calls <= 20
        again = vdistill(*command, "--endpoint", server.url, cwd=tmp_path)
        assert again.json["calls"] <= 1, "what the cap left out"
    with ChatServer(completion("B")) as server:
        done = vdistill(*command, "--endpoint", server.url, "--ask", "best", "-w", "other", cwd=tmp_path)
        assert "is asked to rank" not in done.err
        assert done.json["failed"] == 0


def test_a_teacher_with_probabilities_is_asked_for_choices(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    command = ["label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 2, "--budget", 20,
               "--json"]  # fmt: skip
    with ChatServer() as server:
        done = vdistill(*command, "--endpoint", server.url, cwd=tmp_path)
        assert done.json["calls"] == done.json["judgments"] == server.calls
        assert done.json["reused"] == 0
        assert "rank" not in done.err
        again = vdistill(*command, "--endpoint", server.url, cwd=tmp_path)
        assert again.json["calls"] <= 1
        assert again.json["reused"] >= done.json["judgments"]


def test_one_answer_without_readable_probabilities_does_not_decide_about_the_server(question):
    contradiction, said = completion("A", {"A": float("-inf"), "B": -0.1}), []
    with ChatServer(contradiction, completion("B", {"B": -0.1}), contradiction) as server:
        teacher = OpenAITeacher("vlm", TeacherOptions(endpoint=server.url), say=said.append, patience=QUICK)
        found = [(teacher.ask([question]), teacher.hard_answers)[1] for _ in range(3)]
        teacher.close()
    assert found == [None, False, False]
    assert said == []


def test_a_key_that_is_refused_with_a_400_stops_at_once(question):
    with ChatServer((400, [{"error": {"message": "API key not valid. Please pass a valid API key."}}], {})) as server:
        with pytest.raises(TeacherError, match="API key not valid"):
            ask(server, question)
        assert server.calls == 1


def test_one_answer_alone_does_not_decide_how_a_server_is_asked_for_good(tmp_path, catalog):
    """Its probabilities contradict it; those of the next one are to be had, so choices are asked for."""
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    contradiction = completion("A", {"A": float("-inf"), "B": -0.1})
    with ChatServer(contradiction, completion("B", {"A": -2.0, "B": -0.2})) as server:
        done = vdistill("label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 2,
                        "--budget", 12, "--json", "--endpoint", server.url, cwd=tmp_path)  # fmt: skip
    assert "rank" not in done.err
    assert done.json["calls"] == done.json["judgments"] == server.calls


def test_failed_calls_are_reported_with_their_reason(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("one\ntwo\nthree\nfour\n")
    with ChatServer(completion("A", {"So": -0.1, "A": -14.0})) as server:
        done = vdistill("label", "catalog", "--teacher", "vlm", "--queries", "q.txt", "--images-per-call", 2,
                        "--budget", 12, "--json", "--endpoint", server.url, cwd=tmp_path)  # fmt: skip
    assert done.code == 0
    assert "calls failed, the last one: the letters have" in done.err
    assert "--think low" in done.err
