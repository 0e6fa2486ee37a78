"""Vectors in lists: a search reads those near the query and finds the nearest; older files are searched as before."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from indexes import index_of, row, unit, write_index, write_items
from vdistill.bundle import lists, manifest, shard_writer
from vdistill.bundle.manifest import FileFacts, ShardFacts
from vdistill.bundle.shard_writer import ShardWriter
from vdistill.errors import VdistillError
from vdistill.query.search import Searcher


def clustered(count, dim, seed=0):
    rng = np.random.default_rng(seed)
    vectors = unit(50, dim, 99)[rng.integers(0, 50, count)] + 0.5 * unit(count, dim, seed)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def found(searcher, query, **options):
    return [int(hit.id) for hit in searcher.search(query, 10, **options)]


def test_a_search_reads_a_part_and_finds_the_nearest(tmp_path, monkeypatch):
    vectors, read = clustered(20_000, 48), []
    compare = lists.similarities
    monkeypatch.setattr(
        lists, "similarities", lambda query, rows, dtype: read.append(len(rows)) or compare(query, rows, dtype)
    )
    with index_of(tmp_path, vectors, "bf16", lists=True) as searcher:
        queries = clustered(50, 48, 1)
        same = [len({*found(searcher, query)} & {*np.argsort(-vectors @ query)[:10].tolist()}) for query in queries]
        assert np.mean(same) > 9.5
        assert sum(read) < 50 * 5000
        hit = searcher.search(vectors[7], 1)[0]
        assert (hit.id, hit.score) == ("00007", pytest.approx(1, abs=1e-5)), (
            "scored by the stored vector, not by the search"
        )


def test_vectors_that_are_all_alike_are_all_found(tmp_path):
    vectors = np.tile(unit(1, 16), (3000, 1))
    with index_of(tmp_path, vectors, lists=True) as searcher:
        assert found(searcher, vectors[0]) == [*range(10)]
        assert len(searcher.search(-vectors[0], 2500)) == 2500


def test_a_query_that_is_near_to_nothing_gets_as_many_results(tmp_path):
    vectors = unit(3000, 64)
    vectors[:, 0] = 0
    with index_of(tmp_path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), lists=True) as searcher:
        assert len(found(searcher, np.eye(64, dtype=np.float32)[0])) == 10


@pytest.mark.parametrize("part", ["vectors-0.usearch", "vectors-0.lists"])
def test_a_file_of_other_vectors_is_refused(tmp_path, part):
    write_index(tmp_path, unit(2000, 16), lists=True)
    write_index(tmp_path / "other", unit(1999, 16), lists=True)
    (tmp_path / part).write_bytes((tmp_path / "other" / part).read_bytes())
    document = json.loads((tmp_path / "manifest.json").read_text())
    facts = document["models"]["student"]["shards"][0]
    facts["lists" if part.endswith("lists") else "vectors"] = asdict(FileFacts.measure(tmp_path, part))
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(VdistillError, match=f"{part} is damaged: it does not hold"):
        Searcher.at(tmp_path, "student")


def test_files_that_a_killed_build_finished_are_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "LIMIT", 500)
    vectors = unit(1200, 16)

    def write(vectors, *, finish=True):
        writer = ShardWriter(tmp_path, "vectors", 16, "f32", lists=True)
        writer.add(np.arange(len(vectors)), vectors)
        return writer.finish() if finish else None

    write(vectors, finish=False)  # killed while the third file waits
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("vectors-?.usearch")}
    assert len(times) == 2
    written = write(vectors)
    assert [facts.count for facts in written] == [500, 500, 200]
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in times.items())
    write(np.roll(vectors, 700, axis=0))
    assert all((tmp_path / name).stat().st_mtime_ns > time for name, time in times.items()), "of other vectors"


def test_an_index_with_a_graph_is_searched_as_before(tmp_path):
    import onnxruntime  # noqa: F401 - before usearch
    from usearch.index import Index

    vectors = unit(3000, 32)
    entry = write_index(tmp_path, vectors)
    index = Index(ndim=32, metric="ip", dtype="f32", connectivity=16, expansion_add=128)
    index.add(np.arange(3000, 0, -1), vectors)
    index.save(str(tmp_path / "vectors-0.usearch"))
    shard = ShardFacts(FileFacts.measure(tmp_path, "vectors-0.usearch"), 3000, True, None)
    manifest.write(tmp_path, {"student": replace(entry, shards=(shard,))})
    document = json.loads((tmp_path / "manifest.json").read_text())
    document["schema_version"] = 2
    del document["models"]["student"]["shards"][0]["lists"]
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with Searcher.at(tmp_path, "student") as searcher:
        assert searcher.store.shards[0].facts.graph
        for query in unit(20, 32, 1):
            nearest = np.argsort(-vectors @ query)[:10].tolist()
            assert len({*found(searcher, query)} & {*nearest}) >= 8
            assert found(searcher, query, exact=True) == nearest


def test_items_that_are_gone_are_not_found(tmp_path):
    vectors = unit(2000, 16)
    entry = write_index(tmp_path, vectors, lists=True)
    (tmp_path / "items.db").unlink()
    write_items(tmp_path / "items.db", (row(2000 - n, f"{n:05}") for n in range(0, 2000, 2)))
    items = FileFacts.measure(tmp_path, "items.db")
    manifest.write(tmp_path, {"student": replace(entry, count=1000, items=items)})
    with Searcher.at(tmp_path, "student") as searcher:
        for query in vectors[:20]:
            assert not any(number % 2 for number in found(searcher, query))
            assert len(found(searcher, query)) == 10
