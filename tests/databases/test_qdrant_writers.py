"""Qdrant: one writer at a time by its lease, and a swap between any two calls of which searches are whole.

No server is at hand: its address is answered by the client's own engine in memory, which all clients here share.
"""

import contextlib
import threading
from dataclasses import replace

import pytest

from database_pushes import DIM, FITS, answered, index, opened
from indexes import unit
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.errors import VdistillError

ADDRESS = "qdrant://shared"


class Clock:
    """Time that passes only when a test says so, and while somebody waits."""

    def __init__(self):
        self.now = 1e9

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr("vdistill.databases.qdrant.time", found)
    return found


@pytest.fixture(autouse=True)
def before(clock, shared_qdrant):
    """What is called before each call of a client; a test may put something else there."""
    return shared_qdrant


def writer():
    return open_database(parse(ADDRESS), reading=False)


def pushed(folder, progress=None):
    with contextlib.closing(Store.open(folder, "student")) as store:
        return push(store, "student", parse(ADDRESS), progress)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    index(tmp_path / "a", 200, "a")
    with writer().writing():
        with pytest.raises(VdistillError, match="another `vdistill index --to` is writing"):
            pushed(tmp_path / "a")
        with pytest.raises(VdistillError, match="is writing"):  # the one that was refused took nothing away
            pushed(tmp_path / "a")
    assert pushed(tmp_path / "a").added == 200


def test_the_lease_of_a_writer_that_died_expires(tmp_path, clock):
    index(tmp_path / "a", 200, "a")
    dead = writer().writing()
    dead.__enter__()
    with pytest.raises(VdistillError, match="is writing"):
        pushed(tmp_path / "a")
    clock.now += 55
    with pytest.raises(VdistillError, match="is writing"):
        pushed(tmp_path / "a")
    clock.now += 10
    assert pushed(tmp_path / "a").added == 200


def test_a_writer_that_goes_on_keeps_its_lease(tmp_path, clock):
    index(tmp_path / "a", 3_000, "a")

    def batch(done, total):
        with pytest.raises(VdistillError, match="is writing"), writer().writing():
            pass
        clock.now += 50  # all batches together take longer than a lease lasts

    assert pushed(tmp_path / "a", batch).added == 3_000


def test_a_writer_whose_lease_was_taken_stops_at_its_next_batch_and_the_same_command_continues(tmp_path, clock):
    index(tmp_path / "a", 2_500, "a")
    second, taken = writer(), contextlib.ExitStack()

    def batch(done, total):
        assert done == 1_000, "it wrote on"
        clock.now += 61  # it stands still for so long
        taken.enter_context(second.writing())

    with taken:
        with pytest.raises(VdistillError, match="has begun to write") as caught:
            pushed(tmp_path / "a", batch)
        assert "same command continues" in caught.value.hint
        (version,) = second.versions()
        assert (len([*second.stamps(version)]), version.live) == (1_000, False)
        with pytest.raises(VdistillError, match="is writing"):  # the first one gave back no lease but its own
            pushed(tmp_path / "a")
    report = pushed(tmp_path / "a")
    assert (report.unchanged, report.added, report.resumed, report.swapped) == (1_000, 1_500, True, True)


def test_a_writer_whose_lease_was_taken_swaps_nothing_and_drops_nothing(tmp_path, clock):
    index(tmp_path / "a", 200, "a")
    second, taken = writer(), contextlib.ExitStack()

    def stored(done, total):
        if done == total:
            clock.now += 61
            taken.enter_context(second.writing())
            (version,) = second.versions()
            second.create(replace(version, number=2))

    with taken, pytest.raises(VdistillError, match="has begun to write"):
        pushed(tmp_path / "a", stored)
    assert [(version.number, version.live) for version in second.versions()] == [(1, False), (2, False)]


def test_of_two_that_begin_in_the_same_moment_one_writes(before, tmp_path):
    index(tmp_path / "a", 200, "a")
    pushed(tmp_path / "a")
    both, ended = threading.Barrier(2, timeout=5), threading.Barrier(2, timeout=5)
    outcome = []

    def begin():
        calls = []

        def meet(name):
            calls.append(name)
            if name == "upsert" or calls[-2:] == ["upsert", "retrieve"]:
                both.wait()  # neither writes before both have read, nor reads again before both have written

        waits[threading.get_ident()] = meet
        try:
            with writer().writing():
                outcome.append("wrote")
                ended.wait()  # not given back before the other has ended
        except VdistillError as error:
            outcome.append(error.message)
            ended.wait()

    waits = {}
    before.append(lambda name: waits.get(threading.get_ident(), lambda _: None)(name))
    threads = [threading.Thread(target=begin) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(outcome, reverse=True)[0] == "wrote"
    assert "another `vdistill index --to` is writing" in min(outcome)


def test_searches_between_any_two_calls_of_a_push_are_of_one_model_and_whole(before, tmp_path):
    for model in "ab":
        index(tmp_path / model, 400, model)
    pushed(tmp_path / "a")
    vector, calls, found = unit(1, DIM)[0], [], []

    def search(name):
        calls.append(name)
        before.append(lambda name: None)
        try:
            found.append(answered(old, vector))  # it was opened when the first model was live
            with contextlib.closing(opened(ADDRESS, tmp_path / "a")) as new:
                found.append(answered(new, vector))
        finally:
            before.pop()

    with contextlib.closing(opened(ADDRESS, tmp_path / "a")) as old:
        before.append(search)
        report = pushed(tmp_path / "b")
        before.pop()
        assert answered(old, vector) == "b"
    assert (report.version, report.swapped) == (2, True)
    assert {"create_collection", "upsert", "update_collection_aliases", "delete_collection"} <= {*calls}
    assert set(found) == set(FITS)
    assert sorted(found[1::2]) == found[1::2], "each search that begins is of the live one"
    assert sorted(found[::2]) == found[::2]
