"""A new model is swapped in whole, while searches go on; a server that dies loses nothing that it acknowledged."""

import contextlib
import json

import numpy as np
import pytest

from database_pushes import DIM, Reader, index, opened, start, until_stored
from indexes import unit
from postgres_servers import Cluster, both, missing
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.errors import VdistillError
from vdistill.query.retrieval import SearchOptions

ROWS = 6_000


def test_a_new_model_is_swapped_in_whole_while_searches_go_on(postgres, tmp_path):
    address = postgres.url("swapped")
    for model in "ab":
        index(tmp_path / model, 1500, model)
    with contextlib.closing(Store.open(tmp_path / "a", "student")) as store:
        push(store, "student", parse(address))
    reader = Reader(opened(address, tmp_path / "a"))
    reader.start()
    with contextlib.closing(Store.open(tmp_path / "b", "student")) as store:
        report = push(store, "student", parse(address))
        sample = store.sample
    reader.more(5)
    reader.stop()
    assert (report.version, report.swapped, report.added) == (2, True, 1500)
    with contextlib.closing(open_database(parse(address), reading=True)) as database:
        (version,) = database.versions()
        stored = database.vectors(version, version.fit.sample)
    assert len(stored) == len(sample) < 1500
    assert (sample @ np.array([*stored.values()]).T).max(axis=1).min() > 0.999  # the scores are compared with the same
    assert not reader.wrong
    assert not reader.failed
    assert reader.models == ["a", "b"]
    assert postgres.sql("SELECT to_regclass('swapped_v1')") == [(None,)]
    assert postgres.sql("SELECT count(*), min(metadata->>'model') FROM swapped") == [(1500, "b")]


def test_a_filter_that_few_items_pass_gives_all_of_them(address, tmp_path):
    index(tmp_path / "a", 600, "a")
    with contextlib.closing(Store.open(tmp_path / "a", "student")) as store:
        push(store, "student", parse(address))
    with contextlib.closing(opened(address, tmp_path / "a")) as searcher:
        vector = unit(1, DIM)[0]
        for where, count in (("n < 7", 7), ("n = 5", 1), ("n < 12", 10), ("n < 300", 10), ("n > 9999", 0)):
            hits = searcher.hits(vector, 10, SearchOptions(where=where))
            assert len(hits) == count, where
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.slow
def test_a_primary_killed_in_the_middle_loses_no_row_and_no_query(tmp_path):
    if why := missing():
        pytest.skip(why)
    cluster = Cluster.make()
    reader = None
    try:
        primary = cluster.primary()
        replica = cluster.replica(primary)
        address = both(primary, replica)
        with contextlib.closing(Store.open(index(tmp_path / "a", 1500, "a"), "student")) as store:
            push(store, "student", parse(address))
        reader = Reader(opened(address, tmp_path / "a"))
        reader.start()
        index(tmp_path / "b", ROWS, "b")

        process = start(tmp_path / "b", address)  # first the command is killed, then the server under it
        stored = until_stored(process, 1000)
        process.kill()
        process.communicate()
        assert primary.sql("SELECT count(*) FROM vdistill_v2")[0][0] >= stored

        process = start(tmp_path / "b", address)
        stored = until_stored(process, 3000)
        primary.kill()
        assert replica.sql("SELECT count(*) FROM vdistill_v2")[0][0] >= stored
        reader.more(20)  # from the replica
        replica.promote()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        report = json.loads(out.splitlines()[-1])
        assert report["resumed"]
        assert report["unchanged"] >= 1000
        assert report["unchanged"] + report["added"] + report["updated"] == ROWS
        reader.more(5)
        reader.stop()
        assert not reader.wrong, reader.wrong[0]
        assert not reader.failed, reader.failed[0]
        assert reader.models == ["a", "b"]
        assert replica.sql("SELECT count(*), count(DISTINCT id) FROM vdistill") == [(ROWS, ROWS)]
    finally:
        if reader and not reader.over:
            reader.stop()
        cluster.close()


@pytest.mark.slow
def test_a_server_that_stays_away_is_an_error_that_says_what_is_stored(tmp_path, monkeypatch):
    if why := missing():
        pytest.skip(why)
    monkeypatch.setattr("vdistill.databases.postgresql._PATIENCE", 2.0)
    cluster = Cluster.make()
    try:
        server = cluster.primary()

        def kill(done, total):
            if done == 1000:
                server.kill()

        with contextlib.closing(Store.open(index(tmp_path / "a", 2500, "a"), "student")) as store:
            with pytest.raises(VdistillError, match="cannot be reached") as caught:
                push(store, "student", parse(server.url()), kill)
            assert "1,000 items are stored" in caught.value.hint
            server.start()
            report = push(store, "student", parse(server.url()))
        assert (report.unchanged, report.added, report.resumed) == (1000, 1500, True)
    finally:
        cluster.close()
