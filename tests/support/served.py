"""A server on loopback in a thread, and a small shop for it: the kept workspace of an earlier version."""

import contextlib
import json
import shutil
import socket
import sys
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx2
import pytest

from indexes import unit, write_index
from vdistill.bundle import manifest
from vdistill.bundle.fit import FitModel
from vdistill.workspace import Workspace

for name in ("starlette", "uvicorn", "python_multipart", "prometheus_client", "jsonschema"):
    pytest.importorskip(name, reason="needs vdistill[serve]")

from vdistill.serve.run import listen, server  # noqa: E402
from vdistill.serve.service import Service  # noqa: E402
from vdistill.serve.settings import Settings  # noqa: E402

WHERE_WORKS = sys.version_info >= (3, 11)  # older ones cannot set SQLite's limits, so the server takes no filters
needs_where = pytest.mark.skipif(not WHERE_WORKS, reason="SQLite's limits can be set from Python 3.11 on")
SHOP = sorted((Path(__file__).parents[1] / "old_workspaces").glob("*.zip"))[-1]


def unpack_shop(home):
    """A catalog of 24 drawings with indexes of student and backbone."""
    with zipfile.ZipFile(SHOP) as packed:
        packed.extractall(home)
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    manifest.write(index, {name: replace(one, catalog=str(home / "catalog")) for name, one in entries.items()})
    return home


def things(n):
    """Metadata of an item."""
    return {"title": f"{('red', 'green', 'blue')[n % 3]} thing", "price": n % 40, "group": f"g{n // 4}",
            "tags": ["new", "old"][: 1 + n % 2]}  # fmt: skip


def know_fits(home):
    """Let the student's index say that a fit is the cosine's place among those of all items."""
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    model = FitModel((), (1.0, 0.0, 0.0, 0.0), facts={"judge": "nobody"})
    manifest.write(index, {**entries, "student": replace(entries["student"], fit=model.to_json())})
    return home


def unpack_large_shop(home, count=3000, metadata=things):
    """The shop with so many other items in the student's index, four of them a product each; without images."""
    unpack_shop(home)
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    made = home / "made"
    entry = write_index(made, unit(count, entries["student"].dim), "bf16", metadata=metadata)
    for path in made.iterdir():
        if path.name != manifest.NAME:
            shutil.move(path, index / path.name)
    student = entries["student"]
    shared = {"made_from": student.made_from, "text_encoder": student.text_encoder, "catalog": student.catalog}
    entries["student"] = replace(entry, **shared, image_encoder=student.image_encoder, decoder=student.decoder)
    manifest.write(index, entries)
    return home


class Served:
    """A running server: a client for it, its service, and its port."""

    def __init__(self, client, service, port, said):
        self.client, self.service, self.port, self.said = client, service, port, said

    def get(self, path, **more):
        return self.client.get(path, **more)

    def post(self, path, document=None, **more):
        return self.client.post(path, **({"json": document} if document is not None else {}), **more)

    def raw(self, data, seconds=10.0):
        """All that comes back for these bytes, until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection):
    """What comes until the connection is closed."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def served(home, port=0, second=None, **settings):
    """A server of the workspace in a folder, as long as the block. second: orders the first hits for who asks."""
    space = Workspace(Path(home) / ".vdistill")
    made = partial(Service.at, space.index, space.cache, Settings(**settings), workspace=space, second=second)
    return _served(made, port)


def served_pack(path, cache, **settings):
    """A server of a pack, as long as the block."""
    return _served(partial(Service.at, Path(path), Path(cache), Settings(**settings)))


@contextlib.contextmanager
def _served(make, port=0):
    said = []
    service = make(said.append)
    with listen("127.0.0.1", port) as listening:
        port = listening.getsockname()[1]
        running = server(service)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
                assert thread.is_alive()
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
                yield Served(client, service, port, said)
        finally:
            running.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def refused(response, status, kind):
    """The message of a refusal, which is JSON with a message, a hint and this type."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = json.loads(response.content)["error"]
    assert set(error) == {"message", "hint", "type"}
    assert error["type"] == kind
    assert error["message"]
    return error["message"]
