"""The process and its index: a newer one is taken over, a lost one is waited for, SIGTERM lets answers finish."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from command_line import errors, vdistill
from indexes import unit, write_index
from served import WHERE_WORKS, needs_where, refused, served, unpack_shop
from vdistill.bundle import manifest


@pytest.fixture
def own_shop(tmp_path):
    return unpack_shop(tmp_path)


def publish(home, generation):
    """A new index of the student with other items, the files of the old one removed."""
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    old = entries["student"]
    made = home / f"made{generation}"
    entry = write_index(made, unit(50 + generation, old.dim, generation), "bf16",
                        metadata=lambda n: {"title": f"thing {generation}", "price": generation})  # fmt: skip
    moved = {}
    for path in made.iterdir():
        if path.name != manifest.NAME:
            moved[path.name] = f"{generation}-{path.name}"
            shutil.move(path, index / moved[path.name])
    vectors = [replace(shard.vectors, name=moved[shard.vectors.name]) for shard in entry.shards]
    shards = tuple(replace(shard, vectors=file) for shard, file in zip(entry.shards, vectors, strict=True))
    items = replace(entry.items, name=moved[entry.items.name])
    kept = ("made_from", "text_encoder", "image_encoder", "catalog", "decoder")
    new = replace(
        entry, shards=shards, items=items, generation=generation, **{name: getattr(old, name) for name in kept}
    )
    entries["student"] = new
    manifest.write(index, entries)
    manifest.sweep(index, entries.values())


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_newer_index_is_taken_over_without_a_dropped_request(own_shop):
    with served(own_shop) as site:
        wrong, stop = [], threading.Event()
        some = {"where": "price < 99"} if WHERE_WORKS else {}

        def ask(number):
            with httpx2.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False, timeout=30) as client:
                while not stop.is_set():
                    answer = client.get("/v1/search", params={"query": f"red {number}", "k": 30, **some})
                    titles = {one["metadata"]["title"] for one in answer.json().get("results", [])}
                    if answer.status_code != 200 or not (len(titles) == 1 or len(titles) > 3):
                        wrong.append(answer.text)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        opened = [site.service.indexes.current()]
        for generation in range(3, 8):
            publish(own_shop, generation)
            wait_for(lambda: site.get("/v1/info").json()["items"] == 50 + generation)  # noqa: B023
            opened.append(site.service.indexes.current())
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert site.service.indexes.loads == 6
        assert [one.users for one in opened] == [0] * 6
        assert [one.retired for one in opened] == [True] * 5 + [False]
        assert len({id(one.texts["student"]) for one in opened}) == 1, "the text encoder is opened once"
        image = (own_shop / "catalog" / "red_mug.png").read_bytes()
        assert site.post("/v1/search", files={"image": image}).status_code == 200


def test_files_of_old_indexes_are_closed(own_shop):
    descriptors = Path("/proc/self/fd")

    def held():
        return [str(one.readlink()) for one in descriptors.iterdir() if one.is_symlink()]

    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    with served(own_shop) as site:
        for generation in (3, 4, 5):
            publish(own_shop, generation)
            wait_for(lambda: site.get("/v1/info").json()["items"] == 50 + generation)  # noqa: B023
        wait_for(lambda: not [path for path in held() if str(own_shop) in path and "(deleted)" in path])


def test_pages_of_vectors_are_given_back_while_it_answers(large_shop, monkeypatch):
    from vdistill.serve import reload

    monkeypatch.setattr(reload, "RESIDENT_BYTES", 1)
    monkeypatch.setattr(reload, "SECONDS", 0.001)
    with served(large_shop) as site:
        expected = site.get("/v1/search?query=red").json()["results"]
        assert all(site.get("/v1/search?query=red").json()["results"] == expected for _ in range(50))


def test_an_index_that_vanishes_is_waited_for(own_shop):
    index = own_shop / ".vdistill" / "index"
    with served(own_shop) as site:
        index.rename(own_shop / "away")
        wait_for(lambda: site.get("/readyz").status_code == 503)
        response = site.get("/v1/search", params={"query": "x"})
        refused(response, 503, "unavailable")
        assert response.headers["retry-after"]
        assert site.get("/healthz").status_code == 200
        assert site.get("/metrics").status_code == 200
        (own_shop / "away").rename(index)
        wait_for(lambda: site.get("/readyz").status_code == 200)
        assert site.get("/v1/search", params={"query": "x"}).status_code == 200


def test_a_damaged_new_index_leaves_the_old_one_in_place(own_shop):
    path = own_shop / ".vdistill" / "index" / manifest.NAME
    whole = path.read_bytes()
    with served(own_shop) as site:
        for damaged in (b"{", b"{}", whole.replace(b'"bytes": ', b'"bytes": 1')):
            path.write_bytes(damaged)
            wait_for(lambda: any("cannot be opened" in line for line in site.said))
            assert site.get("/v1/search", params={"query": "x"}).status_code == 200
            site.said.clear()
        path.write_bytes(whole)
        wait_for(lambda: site.service.indexes.loads == 2)


def start(home, *flags, env=None, files=None):
    """`vdistill serve` in a process of its own, and its address. files: how many it may have open."""
    command = [sys.executable, "-m", "vdistill", "serve", "--port", "0", *flags]
    if files:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$0" "$@"', *command]
    process = subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    assert process.stderr
    lines = []
    while not (found := re.search(r"serving (http://\S+)", lines[-1] if lines else "")):
        lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
    return process, found[1]


@needs_where
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_what_was_asked_answered(shop, kind):
    process, address = start(shop, "--access-log")
    answers = []

    def ask():
        some = f"json_each('{list(range(160))}')"
        slow = f"(SELECT count(*) FROM {some} a, {some} b, {some} c) > 0"
        answers.append(httpx2.get(f"{address}/v1/search", params={"query": "secret", "where": slow}, timeout=30))

    thread = threading.Thread(target=ask)
    assert httpx2.get(f"{address}/v1/info", timeout=30).status_code == 200
    thread.start()
    wait_for(lambda: answers or "vdistill_requests_in_flight 1.0" in httpx2.get(f"{address}/metrics").text)
    process.send_signal(kind)
    thread.join()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert answers[0].status_code == 200
    assert "GET /v1/info 200" in log
    assert "secret" not in log
    assert "Traceback" not in log


def test_more_connections_than_files_are_said_once(shop):
    process, address = start(shop, files=300)
    try:
        port = int(address.rpartition(":")[2])
        with contextlib.ExitStack() as connections:
            for _ in range(600):
                connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            time.sleep(1.5)
        wait_for(lambda: reachable(address))
    finally:
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert log.count("more connections than this process may have files open") == 1
    assert "Traceback" not in log


def reachable(address):
    with contextlib.suppress(httpx2.HTTPError):
        return httpx2.get(f"{address}/v1/search?query=x", timeout=5).status_code == 200
    return False


def test_it_answers_with_the_token_of_a_variable_on_any_address(shop):
    process, address = start(shop, "--host", "0.0.0.0", "--token-env", "MY_TOKEN", env={"MY_TOKEN": "long secret"})
    try:
        address = address.replace("0.0.0.0", "127.0.0.1")
        refused(httpx2.get(f"{address}/v1/info"), 401, "unauthorized")
        known = {"Authorization": "Bearer long secret"}
        assert httpx2.get(f"{address}/v1/info", headers=known).status_code == 200
        assert httpx2.get(f"{address}/v1/info", headers={**known, "Host": "10.1.2.3:80"}).status_code == 200
        refused(httpx2.get(f"{address}/v1/info", headers={**known, "Host": "evil.example"}), 421, "unknown_host")
    finally:
        process.terminate()
        process.communicate(timeout=60)


@needs_where
def test_a_filter_that_fills_the_memory_is_refused(shop):
    process, address = start(shop)
    try:
        some, long = f"json_each('{list(range(100))}')", f"replace('{'0' * 100}', '0', '{'0' * 100}')"
        where = f"(SELECT count(DISTINCT {long}||a.value||b.value||c.value) FROM {some} a, {some} b, {some} c) > 0"
        answer = httpx2.get(f"{address}/v1/search", params={"query": "x", "where": where}, timeout=60)
        assert "too much memory" in refused(answer, 400, "invalid_request")
        assert httpx2.get(f"{address}/v1/search?query=x&where=price<12").status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_port_in_use_and_a_workspace_that_is_not_there_are_named(shop, site, tmp_path):
    error, hint = errors(vdistill("serve", "--port", site.port, cwd=shop))
    assert f"port {site.port}" in error
    assert "--port" in hint
    assert "no workspace" in errors(vdistill("serve", cwd=tmp_path))[0]


def test_without_the_extra_it_is_named(shop, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("vdistill.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    _, hint = errors(vdistill("serve", cwd=shop))
    assert hint == "hint: pip install 'vdistill[serve]'"


def test_it_needs_no_torch(shop):
    heavy = ("torch", "transformers", "onnx", "pydantic", "rich", "matplotlib")
    program = f"""
import json, sys
from pathlib import Path
import vdistill.serve.run
from vdistill.serve.service import Service
from vdistill.serve.settings import Settings
from vdistill.workspace import Workspace
Service.of(Workspace(Path(".vdistill")), Settings(), print)
print(json.dumps([name for name in {heavy} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=shop, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
