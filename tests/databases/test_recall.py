"""Searches find what exact search finds, without a filter and with one, and always as many rows as were asked for."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from indexes import unit, write_index
from postgres_servers import until
from vdistill.bundle.manifest import Entry
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.databases.search import DatabaseSearcher
from vdistill.query.retrieval import SearchOptions

ROWS, DIM, QUERIES, K = 5_000, 64, 100, 10
SHARES = (1.0, 0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Made:
    """An index in a folder of these vectors, each with a number between 0 and 1."""

    vectors: np.ndarray
    queries: np.ndarray
    draws: np.ndarray
    folder: Path
    entry: Entry


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = unit(ROWS + QUERIES, DIM)  # without clusters, which is harder to search
    vectors, queries = made[:ROWS], made[ROWS:]
    draws = np.random.default_rng(1).random(ROWS).round(6)
    folder = tmp_path_factory.mktemp("made") / "index"
    entry = write_index(folder, vectors, metadata=lambda n: {"draw": float(draws[n])})
    return Made(vectors, queries, draws, folder, entry)


def recalls(address, made, count):
    """Recall@K of so many queries by the share that a filter passes; each answer has K rows, or all that pass."""
    vectors, queries, draws = made.vectors, made.queries[:count], made.draws
    found = {}
    database = open_database(parse(address), reading=True)
    (version,) = database.versions()
    with contextlib.closing(DatabaseSearcher(database, version, made.folder, made.entry)) as searcher:
        for share in SHARES:
            passing = np.flatnonzero(draws < share)
            best = np.argsort(-(queries @ vectors[passing].T), axis=1, kind="stable")[:, :K]
            options = SearchOptions(where=None if share == 1 else f"draw < {share}")
            answers = [[int(hit.id) for hit in searcher.hits(query, K, options)] for query in queries]
            assert {len({*answer}) for answer in answers} == {min(K, len(passing))}
            assert all({*answer} <= {*passing.tolist()} for answer in answers)
            hits = [len({*answer} & {*true}) for answer, true in zip(answers, passing[best].tolist(), strict=True)]
            found[share] = sum(hits) / (count * min(K, len(passing)))
    return found


def filled(made, address):
    with contextlib.closing(Store.open(made.folder, "student")) as store:
        push(store, "student", parse(address))


@pytest.mark.slow
def test_postgresql_finds_the_nearest_of_all_and_of_those_that_pass_a_filter(made, postgres):
    filled(made, postgres.url("nearest"))
    assert min(recalls(postgres.url("nearest"), made, 100).values()) >= 0.98


@pytest.mark.slow
def test_qdrant_finds_the_nearest_of_all_and_of_those_that_pass_a_filter(made, shared_qdrant):
    filled(made, "qdrant://shared")
    assert min(recalls("qdrant://shared", made, 10).values()) >= 0.98


@pytest.mark.slow
def test_filtered_searches_through_the_index_find_as_much(made, postgres, monkeypatch):
    """As in a large table, where it is faster than to compare all rows that pass."""
    monkeypatch.setattr("vdistill.databases.postgresql._VISIT", 0)
    address, count = f"{postgres.url('through')}&options=-c%20enable_seqscan%3Doff", 50
    filled(made, address)
    assert min(recalls(address, made, count).values()) >= 0.98
    scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'through_v1_vector'"
    until(lambda: postgres.sql(scans)[0][0] > 3 * count)
    # In a large table such a search ends before it has found enough, here after fewer rows than a filter needs.
    assert min(recalls(f"{address}%20-c%20hnsw.max_scan_tuples%3D300", made, count).values()) >= 0.9
