"""The cache of what was read from elsewhere."""

import multiprocessing
import os
import threading

import pytest

from vdistill.sources import cache
from vdistill.sources.cache import through_cache, use_cache


@pytest.fixture
def asked():
    """What was fetched; the cache is off again afterwards."""
    yield []
    use_cache(None, 0)


def read(asked, name, version="1", content=None):
    def fetch():
        asked.append(name)
        return content or f"{name} {version}".encode()

    return through_cache(name, version, fetch).read()


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("files/*/*"))


def test_what_was_read_is_not_fetched_again_until_its_version_changes(tmp_path, asked):
    use_cache(None, 0)
    assert read(asked, "a") == read(asked, "a") == b"a 1"
    assert asked == ["a", "a"]  # off: nothing is kept
    use_cache(tmp_path, 1)
    assert read(asked, "a") == read(asked, "a") == b"a 1"
    assert read(asked, "a", "2") == b"a 2"
    use_cache(tmp_path, 1)  # as another process would
    assert read(asked, "a", "2") == b"a 2"
    assert len(asked) == 4


def test_equal_contents_are_one_file_and_what_was_used_least_recently_goes_first(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(cache, "_FRESH", 0)
    use_cache(tmp_path, 100_000 / 2**30)
    for name in "ab":
        read(asked, name, content=b"x" * 30_000)
    assert size_of(tmp_path) == 30_000
    read(asked, "c", content=b"y" * 30_000)
    read(asked, "d", content=b"z" * 30_000)
    read(asked, "a")  # used again
    read(asked, "e", content=b"w" * 30_000)
    assert size_of(tmp_path) <= 100_000
    del asked[:]
    read(asked, "a"), read(asked, "b"), read(asked, "e")
    assert asked == []
    read(asked, "c")
    assert asked == ["c"]


def test_what_had_to_make_room_while_it_was_written_leaves_nothing(tmp_path, asked, monkeypatch):
    """Else a file that the map does not know would stay for ever, beyond the limit."""
    use_cache(tmp_path, 100_000 / 2**30)
    write = cache.Cache._write

    def slowly(self, sha256, data):
        if data == b"slow" * 7_500:
            for name in "abcd":
                read(asked, name, content=name.encode() * 30_000)
        write(self, sha256, data)

    monkeypatch.setattr(cache.Cache, "_write", slowly)
    read(asked, "slow", content=b"slow" * 7_500)
    assert size_of(tmp_path) <= 100_000
    del asked[:]
    read(asked, "slow", content=b"slow" * 7_500)
    assert asked == ["slow", *"abcd"]
    assert size_of(tmp_path) <= 100_000


def test_a_signature_in_a_locator_is_not_written(tmp_path, asked):
    use_cache(tmp_path, 1)
    read(asked, "https://shop.example/a.jpg?Signature=SECRET", content=b"bytes")
    assert not any(b"SECRET" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["file", "map", "map while open", "no folder"])
def test_damage_costs_time_only(tmp_path, asked, damage):
    use_cache(tmp_path / "cache", 1)
    read(asked, "a")
    if damage == "file":
        next((tmp_path / "cache" / "files").rglob("*/*")).write_bytes(b"a 2")
    if damage.startswith("map"):
        if damage == "map":
            use_cache(tmp_path / "cache", 1)
        for path in (tmp_path / "cache").glob("map.db*"):
            path.write_bytes(os.urandom(8192))
    if damage == "no folder":
        (tmp_path / "file").touch()
        use_cache(tmp_path / "file" / "cache", 1)
    assert read(asked, "a") == b"a 1"
    assert read(asked, "a") == b"a 1"
    if damage == "file":
        assert asked == ["a", "a"]


def test_a_full_disk_costs_time_only(tmp_path, asked, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    use_cache(tmp_path, 1)
    monkeypatch.setattr(cache.Path, "write_bytes", full)
    assert read(asked, "a") == read(asked, "a") == b"a 1"
    assert asked == ["a", "a"]
    monkeypatch.undo()
    read(asked, "a"), read(asked, "a")
    assert asked == ["a", "a", "a"]


def hammer(folder, seed):
    use_cache(folder, 200_000 / 2**30)

    def work(first):
        for number in range(first, first + 150):
            name = f"{(number * 7 + seed) % 60}"
            assert read([], name, content=name.encode() * 5000) == name.encode() * 5000

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_processes_and_threads_share_one(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=hammer, args=(tmp_path, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert 0 < size_of(tmp_path) <= 200_000 + 3 * 10_000  # what each process was storing last
    assert not list((tmp_path / "unfinished").iterdir())
