"""A sitting of a person, in a process of its own, and what the judge page does in it."""

import contextlib
import json
import re
import shutil
import sqlite3
import time
import uuid

import httpx2

from forked import start
from served import unpack_shop  # skips the test without the extra

MADE_IN = "/home/anna/shop"


def judged_shop(home):
    """A shop of 24 drawings with a student, an index, and the judgments of a table; at home in this folder."""
    unpack_shop(home)
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        database.execute("UPDATE settings SET value = replace(value, ?, ?)", (MADE_IN, str(home)))
    return home


def plain_shop(home):
    """The same without a student, an index and judgments: the catalog and its queries."""
    unpack_shop(home)
    shutil.rmtree(home / ".vdistill")
    return home


class Sitting:
    """What the page asks of the server."""

    def __init__(self, address, tab=None):
        base, self.token = address.split("/#")
        self.address = address
        self.tab = tab or uuid.uuid4().hex
        headers = {"Authorization": f"Bearer {self.token}", "X-Tab": self.tab}
        self.client = httpx2.Client(base_url=base, timeout=30, trust_env=False, headers=headers)

    def state(self):
        return self._ok(self.client.get("/v1/sitting"))

    def answer(self, choice, seconds=1.5, question=None):
        question = question or self.state()["question"]["key"]
        return self._ok(self.try_answer(question, choice, seconds))

    def try_answer(self, question, choice, seconds=1.5):
        return self.client.post("/v1/answer", json={"question": question, "choice": choice, "seconds": seconds})

    def undo(self):
        return self._ok(self.client.post("/v1/undo", json={"question": self.state()["last"]["key"]}))

    def finish(self):
        return self._ok(self.client.post("/v1/finish"))

    def close(self):
        self.client.close()

    def _ok(self, response):
        assert response.status_code == 200, response.text
        return response.json()


@contextlib.contextmanager
def sitting(home, name="anna", *more):
    """A sitting as long as the block; `process` and `said`, what the command wrote, are its attributes."""
    said = home / f"said-{uuid.uuid4().hex}"
    process = start("label", "catalog", "--teacher", f"me:{name}", *more, "--quiet", cwd=home, streams=said)
    try:
        found = Sitting(address_in(process, said))
        found.process, found.said = process, said
        with contextlib.closing(found):
            yield found
    finally:
        process.kill()
        process.join(30)


def address_in(process, said, seconds=60):
    """The address of the page, as the command says it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = said.read_text() if said.exists() else ""
        if found := re.search(r"http://127\.0\.0\.1:\d+/#\S+", text):
            return found[0]
        assert process.is_alive(), text
        time.sleep(0.02)
    raise AssertionError(said.read_text())


def stored(home, sql, *values):
    """Rows of the workspace's database."""
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database:
        return database.execute(sql, values).fetchall()


def judgments_of(home, name="anna"):
    """(query, items, probabilities) of a person's judgments, oldest first."""
    rows = stored(
        home, "SELECT query, items, probabilities FROM judgments WHERE teacher = ? ORDER BY rowid", f"human:{name}"
    )
    return [(query, json.loads(items), json.loads(chances)) for query, items, chances in rows]
