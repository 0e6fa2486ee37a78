"""Requests that are meant to harm: each is refused, and others are answered meanwhile."""

import contextlib
import io
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image

from served import needs_where, read_all, refused, served
from vdistill.serve import far_images, reload, run, settings
from vdistill.serve.refusals import Refused

OUTSIDE = ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "....//etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
           "red_mug.png/",
           "./red_mug.png", "x\0y", "..%252f..%252fetc%252fpasswd", "file:///etc/passwd", "C:\\x", "metadata.jsonl",
           "tar:0+10:/etc/passwd", "http://127.0.0.1/", "%ff%fe"]  # fmt: skip


@pytest.fixture(scope="module")
def strict_site(large_shop):
    """One that waits for filters for a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reload, "FILTER_LIMITS", replace(settings.FILTER_LIMITS, cpu_seconds=0.5, wall_seconds=1.0))
        with served(large_shop) as site:
            yield site


def alive(site):
    """Others are answered."""
    assert site.get("/v1/search", params={"query": "red mug"}).status_code == 200


@pytest.mark.parametrize("id_", OUTSIDE)
def test_no_id_leads_out_of_the_index(site, id_):
    from urllib.parse import quote

    for path in ("images", "items", "similar"):
        for written in {quote(id_, safe="/%"), quote(id_, safe="")}:
            answer = site.raw(
                f"GET /v1/{path}/{written} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            assert answer.split(b" ")[1] == b"404", answer
            assert b"root:" not in answer


@pytest.mark.parametrize(
    "path", ["/../app.py", "/..%2fapp.py", "/%2e%2e/run.py", "/page/../../settings.py", "/docs.html.j2"]
)
def test_no_path_leads_out_of_the_pages(site, path):
    answer = site.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] == b"404"


def bomb(side):
    """A small PNG that declares side × side pixels, all of them there."""
    rows = zlib.compress((b"\0" + bytes(side // 8)) * side, 9)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_image_that_is_a_bomb_or_none_is_refused(site):
    none = (b"not an image", b"<svg onload=alert(1)>", b"%!PS-Adobe-3.0 EPSF")
    cases = [(bomb(8000), "million"), (bomb(30_000), "million"), (b"", "empty"), *((data, "not an") for data in none)]
    for data, why in cases:
        assert why in refused(site.post("/v1/search", files={"image": data}), 400, "invalid_request")
    alive(site)


def test_forms_that_are_odd_are_refused(site):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x", b"--y\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nz\r\n--x--", b"\0" * 1000):
        assert site.post("/v1/search", content=body, headers=kind).status_code == 400
    refused(
        site.post("/v1/search", content=b"", headers={"Content-Type": "multipart/form-data"}), 400, "invalid_request"
    )
    refused(site.post("/v1/search", files={"file": b"x"}), 400, "invalid_request")
    many = [("image", b"x") for _ in range(50)]
    refused(site.post("/v1/search", files=many), 400, "invalid_request")
    refused(site.post("/v1/search", data={f"f{n}": "x" for n in range(500)}), 400, "invalid_request")


def test_a_body_that_is_too_large_is_not_read(site):
    head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = site.raw(f"{head}Content-Length: 104857600\r\n\r\n".encode())
    assert b" 413 " in answer.splitlines()[0]
    assert b'"too_large"' in answer
    for length in ("-1", "1e9", "9" * 500, "x"):
        assert b" 4" in site.raw(f"{head}Content-Length: {length}\r\n\r\n".encode()).splitlines()[0]
    alive(site)


def test_a_body_that_never_ends_is_cut(site):
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall(head)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 10 * settings.BODY_BYTES:
                connection.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
                sent += 0x100000
        assert sent < 2 * settings.BODY_BYTES
    alive(site)


def test_a_body_that_trickles_in_runs_out_of_time(site, monkeypatch):
    monkeypatch.setattr(settings, "BODY_SECONDS", 0.5)
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall(head)
        for _ in range(3):
            connection.sendall(b" ")
            time.sleep(0.1)
        answer = read_all(connection)
    assert b" 408 " in answer.splitlines()[0]
    alive(site)


def test_a_head_that_trickles_in_is_not_waited_for(site, monkeypatch):
    monkeypatch.setattr(run, "HEAD_SECONDS", 0.5)
    for start in (b"", b"GET /v1/in", b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        started = time.monotonic()
        assert site.raw(start) == b""
        assert time.monotonic() - started < 9
    monkeypatch.setattr(run, "HEAD_SECONDS", 2.0)
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        for wait in (2.5, 0):  # an idle connection between requests is kept
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # head and body may come apart
                answer += connection.recv(65536)
            assert b" 200 " in answer
            time.sleep(wait)


def test_an_answer_that_nobody_reads_is_not_kept(large_site, monkeypatch):
    monkeypatch.setattr(run, "READ_SECONDS", 0.5)
    request = b"GET /v1/search?query=x&per=image&k=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    size = len(large_site.get("/v1/search?query=x&per=image&k=1000").content)
    with socket.create_connection(("127.0.0.1", large_site.port), timeout=20) as connection:
        connection.sendall(request * 100)
        time.sleep(3)
        read = len(read_all(connection))
    assert read < 90 * size
    alive(large_site)


def test_large_bodies_take_turns(shop, monkeypatch):
    monkeypatch.setattr(settings, "BODY_SECONDS", 3.0)
    with served(shop) as site:
        held = []
        for _ in range(settings.LARGE_BODIES):
            connection = socket.create_connection(("127.0.0.1", site.port), timeout=10)
            connection.sendall(
                b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000
            )
            held.append(connection)
        deadline = time.monotonic() + 5
        while site.service.admission._large < settings.LARGE_BODIES and time.monotonic() < deadline:
            time.sleep(0.01)
        response = site.post("/v1/search", files={"image": b"x" * 200_000})
        refused(response, 429, "too_many_requests")
        assert response.headers["retry-after"]
        alive(site)
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 5
        while site.service.admission._large and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "not an image" in refused(
            site.post("/v1/search", files={"image": b"x" * 200_000}), 400, "invalid_request"
        )


def test_a_request_with_a_body_that_is_not_read_ends_the_connection(site):
    answer = site.raw(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert b" 400 " in answer.splitlines()[0]
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    hidden = b"0\r\n\r\nGET /v1/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b'"items"' not in site.raw(head + hidden)


HARMFUL = [
    ("1); DROP TABLE items; --", 400), ("(SELECT group_concat(sql) FROM sqlite_master) IS NOT NULL", 400),
    ("load_extension('x')", 400), ("readfile('/etc/passwd')", 400), ("randomblob(1000000000)", 400),
    ("(WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM t) SELECT count(*) FROM t) > 0", 400),
    ("(SELECT count(*) FROM items) > 0", 400),
    ("(SELECT max(length(x)) FROM (SELECT x||x AS x FROM (SELECT x||x AS x FROM (SELECT replace(hex(title), '0', "
     "title||title||title||title||title||title||title) AS x FROM item)))) > 1e9", 400),
    ("title LIKE '" + "%a" * 700 + "'", 400), ("(" * 2000 + "1" + ")" * 1999, 400),
    ("-(" * 1500 + "1" + ")" * 1500, 400),  # newer versions of SQLite read as many parentheses that say nothing
    ("1 ATTACH DATABASE 'x' AS y", 400), ("PRAGMA_table_info('items')", 400), ("price < 20 -- ", 200),
]  # fmt: skip


@needs_where
@pytest.mark.parametrize(("where", "status"), HARMFUL, ids=lambda value: str(value)[:30])
def test_a_filter_can_read_the_items_and_nothing_else_and_for_a_short_time(large_site, monkeypatch, where, status):
    response = large_site.get("/v1/search", params={"query": "x", "where": where})
    assert response.status_code == status, response.text
    alive(large_site)


ENDLESS = "(SELECT count(*) FROM " + ", ".join(f"json_each('{list(range(100))}') j{n}" for n in range(6)) + ") > "
LONG = (
    f"(SELECT x||x||x FROM (SELECT x||x||x AS x FROM (SELECT replace('{'0' * 100}', '0', '{'0' * 100}')||title AS x)))"
)


@needs_where
def test_a_slow_filter_is_not_in_the_way_and_ends(strict_site):
    with ThreadPoolExecutor(4) as threads:
        waiting = [
            threads.submit(strict_site.get, "/v1/search", params={"query": "x", "where": f"{ENDLESS}{n}"})
            for n in range(3)
        ]
        for number in range(20):
            strict_site.get("/v1/search", params={"query": f"red {number}"}).raise_for_status()
        for one in waiting:
            assert "too long" in refused(one.result(), 400, "invalid_request")


def test_a_search_for_words_ends_too(large_shop, monkeypatch):
    monkeypatch.setattr(reload, "FILTER_LIMITS", replace(settings.FILTER_LIMITS, wall_seconds=1e-6))
    with served(large_shop) as site:
        words = " ".join(["red", "green", "blue", "thing"] * 50)
        answers = [site.get("/v1/search", params={"query": words, "hybrid": True}) for _ in range(20)]
        assert any("takes too long" in answer.text for answer in answers)
        assert {answer.status_code for answer in answers} <= {200, 400}
        alive(site)


def test_a_first_search_for_words_that_ends_at_once_is_refused_like_others(large_shop, monkeypatch):
    @contextlib.contextmanager
    def at_once(connection, _seconds):
        connection.set_progress_handler(lambda: 1, 1)
        yield
        connection.set_progress_handler(None, 0)

    monkeypatch.setattr("vdistill.bundle.items.interrupted_after", at_once)
    with served(large_shop) as site:
        answer = site.get("/v1/search", params={"query": "a red thing", "hybrid": True})
        assert "takes too long" in refused(answer, 400, "invalid_request")


@needs_where
@pytest.mark.parametrize(
    "function", [f"instr({LONG}, substr({LONG}, 40000)||'1')", f"replace({LONG}, substr({LONG}, 40000)||'1', '')"]
)
def test_functions_that_cannot_be_interrupted_take_short_arguments(strict_site, function):
    where = f"length({function}) > 0"
    assert "too long" in refused(
        strict_site.get("/v1/search", params={"query": "x", "where": where}), 400, "invalid_request"
    )
    where = where.replace("x||x||x", "x||x||x||x||x||x")
    message = refused(strict_site.get("/v1/search", params={"query": "x", "where": where}), 400, "invalid_request")
    assert "a value that is too long" in message


def test_a_flood_is_refused_and_then_it_is_over(shop, monkeypatch):
    with served(shop) as site:
        statuses = flood(site.port, 2000)
        assert set(statuses) <= {200, 429}
        assert statuses.count(200) >= 100
        assert statuses.count(429) >= 100
        alive(site)
        assert site.service.admission.requests == 0
        assert all(pool.held == 0 for pool in site.service.pools.all)


def flood(port, count):
    """The status of each of so many requests that are made at the same time, each on a connection of its own."""
    connections = []
    for _ in range(count):
        connections.append(socket.create_connection(("127.0.0.1", port), timeout=60))
    for number, connection in enumerate(connections):
        query = f"GET /v1/search?query=red+{number} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(query.encode())
    statuses = []
    for connection in connections:
        answer = read_all(connection)
        connection.close()
        statuses.append(int(answer.split(b" ")[1]))
        assert statuses[-1] != 429 or b"\r\nretry-after: " in answer.lower()
    return statuses


NEAR = ["127.0.0.1", "localhost", "::1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "0.0.0.0", "::ffff:127.0.0.1",
        "100.64.0.1", "fd00::1", "224.0.0.1", "0x7f000001", "2130706433"]  # fmt: skip


@pytest.mark.parametrize("host", NEAR)
def test_no_image_is_fetched_from_this_network(host):
    with pytest.raises(Refused) as caught:
        far_images.public_address(host, 80)
    assert caught.value.kind in ("forbidden_address", "invalid_request")


def test_images_are_fetched_from_public_addresses_where_that_is_allowed(shop, monkeypatch):
    with served(shop, image_urls=True) as site:
        for url in ("http://127.0.0.1:1/x.png", "http://localhost/x.png"):
            refused(site.post("/v1/search", {"terms": [{"image_url": url}]}), 403, "forbidden_address")
        for url in ("file:///etc/passwd", "ftp://a.b/x", "http://", "http://u:p@a.b/", "http://[", "//a.b/x"):
            refused(site.post("/v1/search", {"terms": [{"image_url": url}]}), 400, "invalid_request")
        with image_host((shop / "catalog" / "red_mug.png").read_bytes()) as (port, asked):
            monkeypatch.setattr(far_images, "public_address", lambda host, port: "127.0.0.1")
            url = f"http://images.example:{port}/x.png"
            found = site.post("/v1/search", {"terms": [{"image_url": url}], "k": 1}).json()["results"]
            assert found[0]["id"] == "red_mug.png"
            assert f"Host: images.example:{port}".encode().lower() in asked[0].lower()
            refused(
                site.post("/v1/search", {"terms": [{"image_url": f"http://images.example:{port}/moved"}]}),
                400,
                "invalid_request",
            )


@contextlib.contextmanager
def image_host(data):
    """A server that answers with these bytes, or sends one elsewhere; what it was asked."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        asked.append(connection.recv(65536))
                        moved = b"/moved" in asked[-1].split(b"\r\n")[0]
                        start = (
                            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n"
                            if moved
                            else b"HTTP/1.1 200 OK\r\n"
                        )
                        body = b"" if moved else data
                        connection.sendall(
                            start + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
                        )

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listening.getsockname()[1], asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_an_image_within_the_limits_is_searched_for(site):
    file = io.BytesIO()
    Image.new("RGB", (3000, 2000), "red").save(file, "PNG")
    assert site.post("/v1/search", files={"image": file.getvalue()}).status_code == 200
