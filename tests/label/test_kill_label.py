"""kill -9 at any moment: what was answered is stored, sound, and never asked for again."""

import random
import sqlite3
import time

import pytest

import forked
from chat_server import ChatServer, completion
from command_line import QUERIES
from vdistill.label.teachers.model_images import ImageCache
from vdistill.label.teachers.openai_api import MOST_SIDE
from vdistill.records import ShownImage

KILLS, CALLS, AT_ONCE, WORDINGS = 50, 600, 8, 12


ANSWER = completion(logprobs={"A": -0.7, "B": -1.1, "C": -1.6, "D": -2.2})


def start(home, url):
    command = ["label", "catalog", "--teacher", "vlm", "--endpoint", url, "--queries", "queries.txt", "--budget", CALLS,
               "--images-per-call", 4, "--concurrency", AT_ONCE, "--pool", 8, "--quiet"]  # fmt: skip
    return forked.start(*command, cwd=home, streams=home / "said")


def stored(home):
    """(query, items in order) of all judgments, in a database that is sound."""
    path = home / ".vdistill" / "vdistill.db"
    if not path.exists():
        return set()
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'judgments'").fetchone() == (0,):
            return set()
        return set(connection.execute("SELECT query, items FROM judgments"))
    finally:
        connection.close()


def asked(server, item_of, since):
    """The same of the requests that the server got."""
    found = []
    for _, body in list(server.bodies)[since:]:
        parts = body["messages"][1]["content"]
        query = parts[-1]["text"].split('"')[1]
        items = [item_of[part["image_url"]["url"]] for part in parts if part["type"] == "image_url"]
        found.append((query, "[" + ", ".join(f'"{item}"' for item in items) + "]"))
    return found


@pytest.mark.slow
def test_killed_at_fifty_moments_it_loses_nothing_and_asks_nothing_twice(tmp_path, catalog):
    (tmp_path / "queries.txt").write_text("\n".join(f"{query} {n}" for n in range(WORDINGS) for query in QUERIES[:6]))
    images = [path for path in catalog.iterdir() if path.suffix == ".png"]
    cache = ImageCache(MOST_SIDE, None)
    item_of = {cache.data_uri(ShownImage(path.name, path, path.name)): path.name for path in images}
    assert len(item_of) == len(images)
    rng = random.Random(0)
    with ChatServer(ANSWER, delay=0.005) as server:
        lost = 0
        for _ in range(KILLS):
            before, known = server.calls, stored(tmp_path)
            process = start(tmp_path, server.url)
            wanted = rng.randrange(0, CALLS // KILLS * 3 // 2)
            while server.calls < before + wanted and process.is_alive():
                time.sleep(0.001)
            time.sleep(rng.random() * 0.02)
            assert process.is_alive(), (tmp_path / "said").read_text()
            process.kill()
            process.join()
            server.settle()
            now = stored(tmp_path)
            assert known <= now, "judgments were lost"
            fresh = asked(server, item_of, before)
            assert not known & set(fresh), "an answered call was asked again"
            assert now <= known | set(fresh)
            lost += len(set(fresh) - now)
            assert len(set(fresh) - now) <= AT_ONCE, "more was lost than what was under way"
        process = start(tmp_path, server.url)
        process.join(timeout=120)
        assert process.exitcode == 0, (tmp_path / "said").read_text()
        everything = stored(tmp_path)
        assert set(asked(server, item_of, 0)) == everything
        assert len(everything) >= 500
        assert server.repeated <= lost
        print(f"{KILLS} kills, {len(everything)} judgments, {server.calls} requests, {lost} were under way when killed")
