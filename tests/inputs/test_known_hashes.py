"""The known hashes of a large folder are looked up by a process beside the command: that changes the time alone."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from vdistill.images import file_sha256
from vdistill.inputs.catalog import scan
from vdistill.inputs.hashes import FILE, Hashes
from vdistill.inputs.known_hashes import KnownHashes, hashes_of
from vdistill.sources.local import LocalFile

OLD = 1_600_000_000
NAMES = (
    "a.png",
    "ä b.jpg",
    "x%20y.png",
    "tar:1.png",
    "deep/er/c.webp",
    "line\nbreak.png",
    "metadata.jsonl.png",
    "#1.png",
)


@pytest.fixture
def odd(tmp_path):
    """A catalog of files with odd names, which are their contents, too."""
    for name in NAMES:
        path = tmp_path / "catalog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "catalog"


@pytest.fixture
def cache(tmp_path, odd):
    """A cache that knows those files, and so many others that the process is worth while."""
    folder = tmp_path / "cache"
    with Hashes.open(folder):
        pass
    rows = [(f"/gone/{number:06}.png".encode(), number, OLD, OLD, f"{number:064}") for number in range(60_000)]
    for item in scan(odd).items:  # at once, where `Hashes` waits until a file has not changed for two seconds
        rows.append((os.fsencode(str(item.file)), *item.source.stamp(), file_sha256(item.source)))
    with contextlib.closing(sqlite3.connect(folder / FILE)) as connection, connection:
        connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?)", rows)
    return folder


def alone(catalog, cache):
    with Hashes.open(cache) as kept:
        return kept.of(scan(catalog).items)


def test_what_is_known_is_looked_up_by_the_other_process_alone(odd, cache, monkeypatch):
    expected = alone(odd, cache)
    assert len(expected) == 8
    with contextlib.closing(KnownHashes(str(odd), cache)) as other:
        plain = {key: sha256 for key, sha256 in expected.items() if "\n" not in key and ":" not in key}
        assert other.found().items() >= plain.items()
        assert other.found().items() <= expected.items()
    (odd / "line\nbreak.png").unlink()
    (odd / "tar:1.png").unlink()
    monkeypatch.setattr(LocalFile, "stamp", None)  # in this process
    with hashes_of(odd, cache) as kept:
        assert kept.of(scan(odd).items) == {key: sha256 for key, sha256 in expected.items() if key in plain}


def test_files_that_are_new_changed_or_gone_are_seen(odd, cache):
    before = alone(odd, cache)
    (odd / "a.png").write_bytes(b"another")
    (odd / "#1.png").unlink()
    (odd / "new.png").write_bytes(b"new")
    with hashes_of(odd, cache) as kept:
        found = kept.of(scan(odd).items)
    assert found == alone(odd, None)
    assert found["a.png"] != before["a.png"]
    assert found.keys() - before.keys() == {"new.png"}


def test_a_file_that_vanishes_meanwhile_is_absent(odd, cache):
    with hashes_of(odd, cache) as kept:
        (odd / "a.png").unlink()
        items = scan(odd).items
        assert "a.png" not in kept.of(items)


def test_a_killed_process_costs_time_alone(odd, cache):
    expected = alone(odd, cache)
    for after in (0, 0.02, 0.1, 0.3):
        other = KnownHashes(str(odd), cache)
        time.sleep(after)
        other._process.send_signal(signal.SIGKILL)
        with Hashes.open(cache, other.found) as kept:
            assert kept.of(scan(odd).items) == expected
        other.close()


def test_half_a_line_is_no_hash(odd, cache):
    with contextlib.closing(KnownHashes(str(odd), cache)) as other:
        other._process.wait()
        other._file.seek(0)
        other._file.truncate()
        other._file.write(f"{'0' * 64} a.png\n{'1' * 64} deep/er/c.web")
        other._file.flush()
        assert other.found() == {"a.png": "0" * 64}


def test_the_process_ends_with_the_command(odd, cache):
    with pytest.raises(ZeroDivisionError), hashes_of(odd, cache) as kept:
        other = kept._beside.__self__
        raise ZeroDivisionError
    assert other._process.returncode is not None
    assert other._file.closed


@pytest.mark.parametrize("damage", [None, b"no database", b""])
def test_a_small_or_damaged_cache_needs_no_process(odd, tmp_path, damage):
    small = tmp_path / "small"
    expected = alone(odd, small)
    if damage is not None:
        (small / FILE).write_bytes(damage)
    with hashes_of(odd, small) as kept:
        assert kept._beside is dict
        assert kept.of(scan(odd).items) == expected


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 takes modules from the current folder")
def test_no_module_of_the_current_folder_is_run(odd, cache, tmp_path):
    here = tmp_path / "downloads"
    (here / ".vdistill").mkdir(parents=True)
    cache.rename(here / ".vdistill" / "cache")
    for name in ("json", "sqlite3", "queue", "subprocess"):
        (here / f"{name}.py").write_text("open('run', 'w')\n")
    (here / "answers.csv").write_text("query,item,score\n" + "".join(f"a mug,{name},1\n" for name in NAMES[:5]))
    (here / "queries.txt").write_text("a mug\n")
    # As the installed command, whose modules do not come from the current folder either.
    code = "import sys; sys.path.remove(''); from vdistill.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "label", str(odd), "--teacher", "table:answers.csv", "--queries",
               "queries.txt", "--holdout", "0", "--dry-run"]  # fmt: skip
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert "calls" in done.stdout, done.stderr
    assert not (here / "run").exists()
