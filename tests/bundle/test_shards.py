"""Files of vectors are never changed: new ones are added, and put together when they pile up."""

import json

import numpy as np
import pytest

from indexes import index_of, unit, write_index
from vdistill.bundle import shard_writer, shards
from vdistill.bundle.manifest import REMEDY, FileFacts, ShardFacts
from vdistill.bundle.shards import Shard
from vdistill.errors import VdistillError
from vdistill.index import compact
from vdistill.index.compact import arrange


def facts(count, *, lists=False, graph=False):
    table = FileFacts("", 1, "", "") if lists else None
    return ShardFacts(FileFacts(f"v{count}", 1, "", ""), count, graph, None, table)


def test_few_new_vectors_get_a_file_of_their_own():
    old = (facts(50_000, lists=True), facts(100))
    plan = arrange(old, staying=50_100, new=10)
    assert (plan.kept, plan.merged, plan.lists) == (old, (), False)


def test_files_that_are_scanned_become_one_with_lists():
    old = (facts(50_000, lists=True), facts(19_000), facts(900))
    plan = arrange(old, staying=69_900, new=200)
    assert (plan.kept, plan.merged, plan.lists) == (old[:1], old[1:], True)


def test_many_small_files_become_one():
    old = tuple(facts(n + 1) for n in range(compact.SMALL))
    plan = arrange(old, staying=36, new=1)
    assert (plan.kept, plan.merged, plan.lists) == ((), old, False)


def test_all_is_written_anew_when_a_fifth_is_dead():
    old = (facts(100_000, lists=True), facts(1000))
    assert arrange(old, staying=81_000, new=5).kept == old
    assert arrange(old, staying=80_000, new=5).merged == old


def test_too_many_files_in_lists_are_written_anew():
    old = tuple(facts(30_000 + n, lists=True) for n in range(10))
    plan = arrange(old, staying=300_045, new=5)
    assert plan.merged == old
    assert plan.lists


def test_files_with_a_graph_of_an_older_version_are_written_anew():
    old = (facts(50_000, graph=True), facts(30_000, lists=True), facts(10))
    plan = arrange(old, staying=80_010, new=1)
    assert (plan.kept, plan.merged, plan.lists) == ((), old, True)


@pytest.mark.parametrize("dtype", shards.METRIC_OF)
@pytest.mark.parametrize("lists", [False, True])
def test_an_index_of_many_files_answers_as_one(tmp_path, monkeypatch, dtype, lists):
    vectors = unit(1000, 32)
    whole = index_of(tmp_path / "whole", vectors, dtype, lists=lists)
    monkeypatch.setattr(shard_writer, "LIMIT", 128)
    many = index_of(tmp_path / "many", vectors, dtype, lists=lists)
    assert [shard.count for shard in many.manifest.shards] == [128] * 7 + [104]
    np.testing.assert_array_equal(many.vectors(many.ids), whole.vectors(whole.ids))
    for query in unit(20, 32, 1):
        assert many.search(query, 30, exact=True) == whole.search(query, 30, exact=True)


def test_i8_is_scored_by_the_vectors_beside_it(tmp_path):
    vectors = unit(5000, 64)
    with index_of(tmp_path, vectors, "i8") as searcher:
        assert (tmp_path / "vectors-0.npy").stat().st_size > 5000 * 64 * 2
        for query in unit(20, 64, 1):
            nearest = np.argsort(-vectors @ query, kind="stable")[:10]
            hits = searcher.search(query, 10)
            assert len({int(hit.id) for hit in hits} & {*nearest.tolist()}) >= 9
            np.testing.assert_allclose([hit.score for hit in hits], sorted(vectors[nearest] @ query)[::-1], atol=2e-3)


def test_a_thread_disturbs_no_other(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with index_of(tmp_path, unit(3000, 32), lists=True, metadata=lambda n: {"n": n}) as searcher:
        queries = unit(64, 32, 1)
        alone = [searcher.search(query, 5, where="n < 2500", hybrid=n % 2 == 0) for n, query in enumerate(queries)]
        with ThreadPoolExecutor(8) as executor:
            found = executor.map(
                lambda n: searcher.search(queries[n % 64], 5, where="n < 2500", hybrid=n % 2 == 0), range(512)
            )
            assert all(hits == alone[n % 64] for n, hits in enumerate(found))


def test_an_open_index_answers_after_its_files_are_gone(tmp_path):
    vectors = unit(1000, 32)
    for dtype in shards.METRIC_OF:
        with index_of(tmp_path / dtype, vectors, dtype, lists=True, metadata=lambda n: {"n": n}) as searcher:
            for path in (tmp_path / dtype).iterdir():
                path.unlink()
            assert searcher.search(vectors[3], 1)[0].id == "00003"
            assert searcher.search(vectors[3], 1, where="n > 3")[0].id != "00003"
            assert float(searcher.vectors(["00003"])[0] @ vectors[3]) > 0.99


def test_metadata_finds_its_item(tmp_path):
    with index_of(tmp_path, unit(300, 16), metadata=lambda n: {"n": n, "even": n % 2 == 0}) as searcher:
        for hit in searcher.search(unit(1, 16)[0], 300, where="even"):
            assert hit.metadata["n"] == int(hit.id)
            assert json.dumps(hit.metadata)


FOREIGN = {
    "empty": lambda data: b"",
    "cut before the header": lambda data: data[: 8 + 100 * 16 * 4],
    "another kind of file": lambda data: b"\x89PNG" + bytes(3000),
    "rows of another length": lambda data: data[:4] + bytes([1]) + data[5:],
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_that_is_no_index_is_refused_even_if_the_manifest_describes_it(tmp_path, what):
    write_index(tmp_path, unit(100, 16))
    path = tmp_path / "vectors-0.usearch"
    path.write_bytes(FOREIGN[what](path.read_bytes()))
    with pytest.raises(VdistillError, match=r"vectors-0.usearch is damaged: ") as error:
        Shard.open(tmp_path, ShardFacts(FileFacts.measure(tmp_path, path.name), 100, False, None), 16, "f32")
    assert error.value.hint == REMEDY


@pytest.mark.parametrize(("count", "dim", "dtype"), [(99, 16, "f32"), (100, 8, "f32"), (100, 32, "f16")])
def test_an_index_of_other_vectors_is_refused(tmp_path, count, dim, dtype):
    write_index(tmp_path, unit(100, 16))
    facts = ShardFacts(FileFacts.measure(tmp_path, "vectors-0.usearch"), count, False, None)
    with pytest.raises(VdistillError, match=f"does not hold {count} vectors"):
        Shard.open(tmp_path, facts, dim, dtype)
