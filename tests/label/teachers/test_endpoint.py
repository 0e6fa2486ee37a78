"""Where requests go, by which way, and which key goes with them."""

import pytest

import chat_teacher
from chat_server import ChatServer, completion, refusal
from chat_teacher import teacher_at
from command_line import errors, vdistill
from vdistill.errors import TeacherError
from vdistill.label.teachers.chat_endpoint import read_endpoint
from vdistill.label.teachers.chat_route import find_route
from vdistill.records import Answer

SECRET, OTHER = "sk-very-secret", "sk-of-another-service"


def asked(server, question, path=""):
    return chat_teacher.ask(server.url + path, question)[0]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "/v1/chat/completions"),
        ("/llm", "/llm/v1/chat/completions"),
        ("/api/v1", "/api/v1/chat/completions"),
        ("/v1beta/openai/", "/v1beta/openai/chat/completions"),
        ("/v1beta/openai/chat/completions", "/v1beta/openai/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("/api/v3", "/api/v3/chat/completions"),
        ("/api/v3/chat/completions", "/api/v3/chat/completions"),
        ("/openai/deployments/x?api-version=1", "/openai/deployments/x/chat/completions?api-version=1"),
        ("/mine/chat/completions", "/mine/chat/completions"),
    ],
)  # fmt: skip
def test_a_path_that_names_the_api_stays_as_typed(question, given, wanted):
    with ChatServer() as server:
        asked(server, question, given)
    assert server.bodies[0][0] == wanted


def test_azure_gets_its_key_in_its_own_header_and_no_unknown_fields(question, monkeypatch):
    monkeypatch.setenv("VDISTILL_API_KEY", SECRET)
    with ChatServer() as server:
        asked(server, question, "/openai/deployments/x?api-version=2024-06-01")
    headers = {name.lower(): value for name, value in server.headers[0].items()}
    assert headers["api-key"] == SECRET
    assert "authorization" not in headers
    assert not {"structured_outputs", "top_k", "chat_template_kwargs"} & set(server.bodies[0][1])


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.example.org/v1", False),
        ("https://openrouter.ai/api/v1", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_the_key_of_openai_goes_to_openai_alone_and_never_unencrypted(monkeypatch, endpoint, sent):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert (SECRET in str(dict(read_endpoint(endpoint).headers))) is sent


def test_a_server_elsewhere_gets_its_own_key(question, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", OTHER)
    with ChatServer() as server:
        asked(server, question)
        monkeypatch.setenv("VDISTILL_API_KEY", SECRET)
        asked(server, question)
    assert [headers.get("Authorization") for headers in server.headers] == [None, f"Bearer {SECRET}"]


def test_a_401_without_the_key_of_openai_says_how_to_send_it(catalog, tmp_path):
    command = ["label", "catalog", "--teacher", "vlm", "--budget", 4, "--images-per-call", 2]
    with ChatServer(lambda body: refusal("no key", 401)) as server:
        done = vdistill(*command, "--endpoint", server.url, cwd=tmp_path, env={"OPENAI_API_KEY": SECRET})
    error, hint = errors(done)
    assert "HTTP 401: no key" in error
    assert "VDISTILL_API_KEY" in hint
    assert "--api-key-env OPENAI_API_KEY" in hint
    assert SECRET not in done.err


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_the_variable_that_holds_the_key_can_be_named(catalog, tmp_path, how):
    command = ["label", "catalog", "--teacher", "vlm", "--budget", 2, "--images-per-call", 2]
    flags = ["--api-key-env", "MY_KEY"] if how == "flag" else []
    if how == "file":
        (tmp_path / "vdistill.toml").write_text('[label]\napi-key-env = "MY_KEY"\n')
    env = {"MY_KEY": SECRET, "VDISTILL_API_KEY": OTHER} | ({"VDISTILL_API_KEY_ENV": "MY_KEY"} if how[0] == "e" else {})
    with ChatServer() as server:
        done = vdistill(*command, *flags, "--endpoint", server.url, cwd=tmp_path, env=env)
        assert done.code == 0, done.err
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}
    assert all(
        SECRET.encode() not in path.read_bytes() for path in (tmp_path / ".vdistill").iterdir() if path.is_file()
    )


@pytest.mark.parametrize("given", ["UNSET_KEY", SECRET, "abcdef0123456789"])
def test_an_unset_or_invalid_variable_name_is_an_error_that_repeats_no_key(given):
    with pytest.raises(TeacherError, match="--api-key-env") as caught:
        read_endpoint("http://x", given)
    assert (given in caught.value.message) is (given == "UNSET_KEY")


def test_a_key_within_the_address_is_not_shown(question):
    with ChatServer(refusal(f"bad key {SECRET}", 401)) as server:
        with pytest.raises(TeacherError, match="bad key") as caught:
            asked(server, question, f"/v1?key={SECRET}")
    assert SECRET not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks://127.0.0.1:9"), ("HTTPS_PROXY", "ftp://user:pass@x"), ("all_proxy", "socks4://x:1")],
)
def test_a_proxy_that_cannot_be_used_is_one_error_that_names_the_variable(catalog, tmp_path, name, value):
    done = vdistill("label", "catalog", "--teacher", "openai:vlm", "--dry-run", cwd=tmp_path, env={name: value})
    error, hint = errors(done)
    assert name in error
    assert "pass" not in error
    assert "NO_PROXY=api.openai.com" in hint


@pytest.mark.parametrize("value", ["socks://127.0.0.1:9", "ftp://x", "http://127.0.0.1:9"])
def test_a_server_on_this_machine_is_reached_without_a_proxy(question, monkeypatch, value):
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setenv("HTTP_PROXY", value)
    with ChatServer(completion("B", {"B": -0.1})) as server:
        assert isinstance(asked(server, question), Answer)


def test_others_are_reached_through_the_proxy_but_for_those_that_are_exempt(question, monkeypatch):
    with ChatServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        teacher = teacher_at("http://vlm.invalid/v1")
        assert isinstance(teacher.ask([question])[0], Answer)
        teacher.close()
        assert proxy.bodies[0][0] == "http://vlm.invalid/v1/chat/completions"
        for exempt, host in [("vlm.invalid", "vlm.invalid"), ("10.0.0.0/8", "10.1.2.3")]:
            monkeypatch.setenv("NO_PROXY", exempt)
            assert find_route(read_endpoint(f"http://{host}").url).proxy is None


def test_a_proxy_that_does_not_answer_is_named(question, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://user:pass@127.0.0.1:9")
    teacher = teacher_at("http://vlm.invalid")
    with pytest.raises(TeacherError, match="through the proxy of HTTP_PROXY") as caught:
        teacher.ask([question])
    assert "pass" not in caught.value.message + caught.value.hint
    teacher.close()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_named(monkeypatch, name):
    monkeypatch.setenv(name, "/nowhere.pem")
    with pytest.raises(TeacherError, match=rf"{name} is /nowhere.pem"):
        teacher_at("https://vlm.invalid")
    teacher_at("http://vlm.invalid").close()


def test_certificates_that_cannot_be_read_are_named(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_text("nonsense")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(TeacherError, match="SSL_CERT_FILE cannot be used"):
        teacher_at("https://vlm.invalid")
