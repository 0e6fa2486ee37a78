"""Several `--endpoint`s share the calls by their pace; one that dies hands its calls back."""

import json
import sqlite3
import threading
import time

import pytest
from PIL import Image

from chat_server import ChatServer
from chat_teacher import QUICK, SOFT, teacher_at
from command_line import QUERIES, errors, vdistill
from drawings import draw_catalog
from vdistill.errors import TeacherError
from vdistill.label.teachers.endpoints import SharedClient
from vdistill.label.teachers.openai_api import Patience
from vdistill.records import Answer, Failure, Question, ShownImage


@pytest.fixture
def home(tmp_path):
    (tmp_path / "catalog").mkdir()
    draw_catalog(tmp_path / "catalog")
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES) + "\n")
    return tmp_path


def label(home, *servers, budget=60, env=None, **options):
    given = [part for server in servers for part in ("--endpoint", getattr(server, "url", server))]
    given += [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    return vdistill("label", "catalog", "--teacher", "vlm", *given, "--queries", "queries.txt", "--images-per-call", 2,
                    "--budget", budget, "--json", cwd=home, env=env)  # fmt: skip


def keys(home):
    with sqlite3.connect(home / ".vdistill" / "vdistill.db") as database:
        found = [key for (key,) in database.execute("SELECT key FROM judgments ORDER BY key")]
    database.close()
    return found


def asked(*servers):
    return [json.dumps(body, sort_keys=True) for server in servers for _, body in server.bodies]


def test_the_work_is_split_by_pace_and_each_question_is_asked_once(home):
    with ChatServer(SOFT, delay=0.02) as fast, ChatServer(SOFT, delay=0.12) as slow:
        done = label(home, fast, slow, budget=120, concurrency=2)
        assert done.code == 0, done.err
        assert done.json["calls"] == len(keys(home)) == fast.calls + slow.calls
        assert len(set(asked(fast, slow))) == fast.calls + slow.calls
        assert 2.5 < fast.calls / slow.calls < 8, "six times the pace, less what the client itself takes"


def test_the_keys_are_those_of_one_endpoint(home, tmp_path):
    with ChatServer(SOFT) as one, ChatServer(SOFT) as other:
        assert label(home, one).code == 0
        known, calls = keys(home), one.calls
        again = label(home, other, one)
        assert again.code == 0, again.err
        assert again.json["calls"] == 0
        assert (keys(home), one.calls, other.calls) == (known, calls, 0)


class Mortal(ChatServer):
    """A server that closes its port after so many calls, and may be opened again at the same one."""

    def __init__(self, after, **more):
        super().__init__(self._said, **more)
        self._after = after

    def _said(self, body):
        if self.calls > self._after:
            threading.Thread(target=self._close).start()
            return "reset"
        return SOFT

    def _close(self):
        self._server.shutdown()
        self._server.server_close()

    def __exit__(self, *_):
        self._close()


def test_a_server_that_dies_hands_its_calls_back(home):
    with Mortal(8, delay=0.02) as dies, ChatServer(SOFT, delay=0.02) as lives:
        done = label(home, dies, lives, concurrency=2)
        assert done.code == 0, done.err
        assert done.json["failed"] == 0
        assert done.json["calls"] == done.json["judgments"] == len(keys(home)) == len(set(asked(dies, lives))) > 40
        twice = len(asked(dies, lives)) - len(set(asked(dies, lives)))
        assert twice <= 2 + 1, "what was under way there, and no more"
        assert done.err.count("does not answer") == 1


def test_a_server_that_is_back_is_asked_again(ask):
    down = threading.Event()

    def moody(body):
        return (503, {"error": {"message": "starting"}}, {}) if down.is_set() else SOFT

    said = []
    with ChatServer(moody) as one, ChatServer(SOFT, delay=0.05) as other:
        teacher = teacher_at(one, said, endpoints=(one.url, other.url), concurrency=1)
        ask(teacher, "first")
        down.set()
        for number in range(6):
            assert ask(teacher, f"meanwhile {number}").soft
        down.clear()
        calls = one.calls
        until = time.monotonic() + 5
        while one.calls < calls + 3:
            assert time.monotonic() < until
            assert ask(teacher, f"later {time.monotonic()}").soft
        teacher.close()
    assert sum("does not answer" in line for line in said) == 1
    assert sum("answers again" in line for line in said) == 1


@pytest.fixture
def ask(tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "image.png")
    images = tuple(ShownImage(name, tmp_path / "image.png", name) for name in "ab")

    def asked(teacher, query):
        (answer,) = teacher.ask([Question(query, images)])
        return answer

    return asked


def test_all_dead_is_the_ordinary_error(home):
    with ChatServer() as one, ChatServer() as other:
        urls = one.url, other.url
    error, hint = errors(label(home, *urls))
    assert "cannot reach" in error
    assert "--endpoint" in hint


def test_all_dead_later_on_fails_as_one_server_would(ask):
    with Mortal(2) as one, Mortal(2) as other:
        teacher = teacher_at(one, endpoints=(one.url, other.url), concurrency=1, patience=QUICK)
        said = [ask(teacher, f"question {number}") for number in range(7)]
        teacher.close()
    assert [type(answer) for answer in said[-2:]] == [Failure, Failure]
    assert "gave up after 4 tries" in said[-1].reason
    assert sum(isinstance(answer, Answer) for answer in said) == 4


def test_a_server_that_busies_itself_is_left_alone_for_as_long_as_it_says(ask):
    busy = (429, {"error": {"message": "slow down"}}, {"Retry-After": "30"})
    said = []
    with ChatServer(SOFT, busy) as one, ChatServer(SOFT, delay=0.01) as other:
        patient = Patience(2.0, 3, 0.01, 60.0)
        teacher = teacher_at(one, said, endpoints=(one.url, other.url), concurrency=2, patience=patient)
        for number in range(10):
            assert isinstance(ask(teacher, f"question {number}"), Answer)
        teacher.close()
        assert one.calls <= 2
    assert not said, "a server that has enough to do is not dead"


def test_a_question_that_no_server_answers_is_one_failure(ask):
    broken = (500, {"error": {"message": "out of memory"}}, {})
    with ChatServer(broken) as one, ChatServer(broken) as other:
        teacher = teacher_at(one, endpoints=(one.url, other.url), patience=QUICK)
        answer = ask(teacher, "a question")
        teacher.close()
        assert isinstance(answer, Failure)
        assert "gave up after 4 tries" in answer.reason
        assert one.calls + other.calls == 4


class Listing(ChatServer):
    """A server that also says what it serves."""

    def __init__(self, *models):
        super().__init__(SOFT)
        listed = json.dumps({"data": [{"id": name, "root": root} for name, root in models]}).encode()

        def do_get(handler):
            handler.send_response(200 if handler.path == "/v1/models" else 404)
            handler.send_header("Content-Length", str(len(listed)))
            handler.end_headers()
            handler.wfile.write(listed)

        self._server.RequestHandlerClass.do_GET = do_get


def test_another_model_on_one_of_them_is_an_error(home):
    with Listing(("vlm", "")) as one, Listing(("another", "")) as other:
        error, hint = errors(label(home, one, other, concurrency=2))
        assert "does not serve vlm; its models: another" in error
        assert "same model" in hint
        assert other.calls == 0


def test_a_server_that_is_not_there_yet_is_checked_when_it_is(home):
    with ChatServer() as gone:
        address = gone.url
    with Listing(("vlm:latest", "")) as one:
        done = label(home, address, one, concurrency=2)
        assert done.code == 0, done.err
        assert done.json["calls"] == one.calls
        assert done.err.count("does not answer") == 1


def test_one_name_for_two_models_is_said(home):
    with Listing(("vlm", "Qwen/Qwen3-VL-8B")) as one, Listing(("vlm", "Qwen/Qwen3-VL-2B")) as other:
        done = label(home, one, other, concurrency=2)
        assert done.code == 0, done.err
        assert done.err.count("are these the same?") == 1


def test_they_may_stand_in_the_environment_and_in_the_file(home):
    with ChatServer(SOFT, delay=0.02) as one, ChatServer(SOFT, delay=0.02) as other:
        done = label(home, budget=40, env={"VDISTILL_ENDPOINT": f"{one.url},{other.url}"})
        assert done.code == 0, done.err
        assert min(one.calls, other.calls) > 0
        (home / "vdistill.toml").write_text(f'[label]\nendpoint = ["{one.url}", "{other.url}"]\n')
        assert label(home, budget=40).json["calls"] == 0
        (home / "vdistill.toml").write_text(f'[label]\nendpoint = "{one.url}"\n')
        done = label(home, budget=40)
        assert (done.code, done.json["calls"]) == (0, 0), done.err


def test_batches_go_to_one_server(home):
    done = vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", "http://a", "--endpoint", "http://b",
                    "--batch", cwd=home)  # fmt: skip
    assert done.code == 2


def test_the_pace_is_that_of_all_together(ask):
    with ChatServer(SOFT) as one, ChatServer(SOFT) as other:
        teacher = teacher_at(one, endpoints=(one.url, other.url), calls_per_minute=3, concurrency=4)
        for number in range(3):
            ask(teacher, f"question {number}")
        late = threading.Thread(target=lambda: ask(teacher, "one more"), daemon=True)
        late.start()
        late.join(0.5)
        assert one.calls + other.calls == 3


def test_teachers_know_how_many_calls_are_made_at_once():
    teacher = teacher_at("http://a", endpoints=("http://a", "http://b"), concurrency=5)
    assert teacher.concurrency == 10
    assert isinstance(teacher._client, SharedClient)
    teacher.close()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(TeacherError, match="not a valid URL"):
        teacher_at("http://a", endpoints=("http://a", "b"))
