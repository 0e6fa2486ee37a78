"""A pack is the index of a model in one file: the same answers from it, whole or refused, and never half a file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import errors, vdistill
from indexes import unit, write_index
from served import served_pack, unpack_shop
from vdistill.bundle import pack as packs
from vdistill.bundle.pack import Pack, PackedPath
from vdistill.bundle.pack_writer import write_pack
from vdistill.bundle.store import Store
from vdistill.query.search import Searcher, SearchOptions


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A shop whose index was packed, with thumbnails; the catalog it was made from is gone."""
    home = unpack_shop(tmp_path_factory.mktemp("packed"))
    pack_of(home, home / "shop.vdx", thumbnails=True)
    shutil.move(home / "catalog", home / "gone")
    return home


def pack_of(home, path, model="student", **more):
    store = Store.open(home / ".vdistill" / "index", model)
    try:
        return write_pack(store, model, path, **more)
    finally:
        store.close()


def table(path):
    """Where the table of a pack begins, and the table itself."""
    data = path.read_bytes()
    start, length, *_ = packs.FOOTER.unpack(data[-packs.FOOTER.size :])
    return start, json.loads(data[start : start + length])


def write_table(path, parts, version=packs.VERSION):
    """Give a pack another table, whose hash is right."""
    start, _ = table(path)
    text, data = json.dumps(parts).encode(), path.read_bytes()
    at, size = table(path)[1]["manifest.json"]
    manifest = data[at : at + size] if "manifest.json" in parts else b""
    footer = packs.FOOTER.pack(start, len(text), packs.digest(manifest, text), version, packs.MAGIC)
    path.write_bytes(data[:start] + text + footer)


@pytest.mark.parametrize(("dtype", "lists"), [("bf16", False), ("i8", False), ("f16", True), ("i8", True)])
def test_a_pack_answers_like_the_index_to_the_last_digit(tmp_path, dtype, lists):
    write_index(tmp_path / "index", unit(3000, 32), dtype, lists=lists, metadata=lambda n: {"price": n % 40})
    store = Store.open(tmp_path / "index", "student")
    write_pack(store, "student", tmp_path / "shop.vdx")
    shutil.copy(tmp_path / "shop.vdx", tmp_path / "elsewhere.vdx")
    here = Searcher(store, "student")
    with here, Searcher.open(tmp_path / "elsewhere.vdx") as there:
        for number, options in enumerate([SearchOptions(), SearchOptions(where="price < 3"), SearchOptions(exact=True),
                                          SearchOptions(diverse=0.4)]):  # fmt: skip
            query = unit(1, 32, 100 + number)[0]
            assert there.hits(query, 20, options) == here.hits(query, 20, options)
        assert (there.vectors(["00007"]) == here.vectors(["00007"])).all()


def test_the_command_searches_it_anywhere(packed, tmp_path):
    asked = ["query", "red mug", "-k", "5", "--json", "--hybrid"]
    here, there = vdistill(*asked, cwd=packed), vdistill(*asked, "--index", packed / "shop.vdx", cwd=tmp_path)
    assert here.json["results"] == there.json["results"]
    found = vdistill("query", "--image", packed / "gone" / "red_mug.png", "--index", packed / "shop.vdx", "--json",
                     cwd=tmp_path).json  # fmt: skip
    assert found["results"][0]["id"] == "red_mug.png"
    error, _ = errors(vdistill("query", "a", "--index", packed / "shop.vdx", "--model", "backbone", cwd=tmp_path))
    assert "there is no index of the backbone; there is one of the student" in error


def test_index_packs(packed, tmp_path):
    home = unpack_shop(tmp_path)
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", "backbone", "--pack", "shop.vdx", "--json",
                    cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["pack"]["bytes"] == (home / "shop.vdx").stat().st_size
    assert done.json["pack"]["thumbnails"] == 0
    with Searcher.open(home / "shop.vdx") as found:
        assert (found.model, len(found)) == ("backbone", 24)
    assert (
        "ends in" in vdistill("index", "catalog", "--pack", "shop.zip", cwd=home).err
        or "is not called" in vdistill("index", "catalog", "--pack", "shop.zip", cwd=home).err
    )


def test_parts_begin_where_they_can_be_mapped(packed):
    pack = Pack.open(packed / "shop.vdx")
    assert all(start % 65_536 == 0 for start, _ in pack.parts.values())
    assert next(start for name, (start, _) in pack.parts.items() if name.startswith("items")) == 0


def test_a_byte_that_changed_anywhere_is_found(packed, tmp_path):
    whole = (packed / "shop.vdx").read_bytes()
    start, parts = table(packed / "shop.vdx")
    places = [at + size // 2 for at, size in parts.values()] + [0, start + 9, len(whole) - 30, len(whole) - 90]
    for place in places:
        bad = tmp_path / f"{place}.vdx"
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        asked = ["red"], ["--image", packed / "gone" / "red_mug.png"]  # an encoder that is not asked is not read
        done = [vdistill("query", *one, "--index", bad, cwd=tmp_path) for one in asked]
        error, hint = errors(next(one for one in done if one.code))
        assert str(bad) in error
        assert "run `vdistill index` to rebuild" not in hint


@pytest.mark.parametrize("left", [0, 50, 5000, 0.5, -1, -200])
def test_one_that_is_cut_short_is_refused(packed, tmp_path, left):
    whole = (packed / "shop.vdx").read_bytes()
    cut = tmp_path / "cut.vdx"
    cut.write_bytes(whole[: int(len(whole) * left) if isinstance(left, float) else left])
    error, _ = errors(vdistill("query", "red", "--index", cut, cwd=tmp_path))
    assert "is cut short" in error if left not in (0, 50) else "is no pack" in error


def test_what_is_no_pack_of_this_version_is_refused(packed, tmp_path):
    parts = table(packed / "shop.vdx")[1]

    def error(made):
        """A name of its own for each: a pack must not be changed while a thread still reads it."""
        bad = tmp_path / f"{len([*tmp_path.iterdir()])}.vdx"
        if isinstance(made, bytes):
            bad.write_bytes(made)
        else:
            write_table(Path(shutil.copy(packed / "shop.vdx", bad)), **made)
        return errors(vdistill("query", "red", "--index", bad, cwd=tmp_path))[0]

    assert "was made by a newer vdistill" in error({"parts": parts, "version": 2})
    end = max(start for start, _ in parts.values())
    for span in ([0, 10**15], [-65536, 10], [7, 10], [end + 65536, 10], "x", [0], None):
        assert "is damaged" in error({"parts": {**parts, "manifest.json": span}})
    assert "is damaged" in error({"parts": []})
    assert "there is no index" in error({"parts": {n: span for n, span in parts.items() if n != "manifest.json"}})
    assert "is damaged" in error({"parts": {n: span for n, span in parts.items() if "usearch" not in n}})
    assert "is no pack" in error(b"PK\x03\x04" * 100)
    absent, folder = (errors(vdistill("query", "red", "--index", name, cwd=tmp_path))[0] for name in ("a.vdx", "."))
    assert "cannot read the pack a.vdx: No such file" in absent
    assert "there is no index" in folder


@pytest.mark.slow  # loads torch
def test_a_disk_that_refuses_leaves_the_old_pack(packed, tmp_path):
    path = shutil.copy(packed / "shop.vdx", tmp_path / "shop.vdx")
    before = path.read_bytes()
    program = """
import resource, signal, sys
from vdistill.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
sys.exit(main(sys.argv[1:]))
"""
    home = unpack_shop(tmp_path)
    asked = ["index", "catalog", "--model", "backbone", "--backbone", "backbone", "--pack", str(path)]
    command = [sys.executable, "-c", program, *asked]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"error: cannot write {path}: File too large" in done.stderr
    assert path.read_bytes() == before
    assert not [*tmp_path.glob(".shop*")]
    (tmp_path / "file").touch()
    error, _ = errors(vdistill("index", "catalog", "--model", "backbone", "--backbone", "backbone", "--pack",
                               tmp_path / "file" / "a.vdx", "--json", cwd=home))  # fmt: skip
    assert "cannot write" in error


def test_killed_while_it_writes_it_leaves_the_old_pack(packed, tmp_path):
    path = shutil.copy(packed / "shop.vdx", tmp_path / "shop.vdx")
    before = path.read_bytes()
    program = """
import sys, time
from pathlib import Path
from vdistill.bundle import pack_writer
from vdistill.bundle.store import Store
pack_writer._finish = lambda *_: (print("now", flush=True), time.sleep(60))
pack_writer.write_pack(Store.open(Path(sys.argv[1]), "student"), "student", Path(sys.argv[2]))
"""
    with subprocess.Popen([sys.executable, "-c", program, packed / ".vdistill" / "index", path],
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    (left,) = tmp_path.glob(".shop.vdx.*.part")
    os.utime(left, (time.time() - 7200,) * 2)
    pack_of(packed, path)
    assert not left.exists()


@pytest.mark.slow  # loads torch
def test_two_at_once_leave_a_whole_pack(packed, tmp_path):
    home = unpack_shop(tmp_path)
    command = [sys.executable, "-m", "vdistill", "index", "catalog", "--model", "backbone", "--backbone", "backbone",
               "--pack", "shop.vdx"]  # fmt: skip
    running = [subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL)
               for _ in range(2)]  # fmt: skip
    said = [process.communicate(timeout=120)[1] for process in running]
    codes = [process.returncode for process in running]
    assert 0 in codes
    assert all(code == 0 or "another `vdistill index` is already running" in text
               for code, text in zip(codes, said, strict=True))  # fmt: skip
    with Searcher.open(home / "shop.vdx") as found:
        assert len(found) == 24


def test_a_damaged_index_is_not_packed(tmp_path):
    home = unpack_shop(tmp_path)
    store = Store.open(home / ".vdistill" / "index", "student")
    file = home / ".vdistill" / "index" / store.entry.image_encoder[0].name
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(Exception, match="is damaged"):
        write_pack(store, "student", tmp_path / "shop.vdx")
    store.close()
    assert not [*tmp_path.glob("*.vdx"), *tmp_path.glob(".shop*")]


def test_a_server_takes_over_a_newer_pack_and_shows_its_thumbnails(packed, tmp_path):
    path = shutil.copy(packed / "shop.vdx", tmp_path / "shop.vdx")
    with served_pack(path, tmp_path / "cache") as site:
        image = site.get("/v1/images/red_mug.png?size=640")
        assert image.headers["content-type"] == "image/jpeg"
        assert site.get("/v1/images/red_mug.png?size=160").status_code == 200
        assert site.get("/v1/search?query=red").json()["model"] == "student"
        damaged = bytearray(path.read_bytes())
        damaged[max(start for start, _ in table(path)[1].values()) - 70_000] ^= 1
        replace(path, bytes(damaged))
        pack_of(packed, tmp_path / "newer.vdx", "backbone")
        replace(path, (tmp_path / "newer.vdx").read_bytes())
        until(lambda: site.get("/v1/info").json()["model"] == "backbone")
        assert site.get("/v1/images/red_mug.png").status_code == 404  # it has no thumbnails, and its catalog is gone
        path.unlink()
        until(lambda: site.get("/readyz").status_code == 503)


def test_one_that_is_replaced_while_it_is_opened_is_refused(packed, tmp_path):
    path = shutil.copy(packed / "shop.vdx", tmp_path / "shop.vdx")
    place = PackedPath(Pack.open(path))
    replace(path, path.read_bytes())
    with pytest.raises(Exception, match="was replaced while it was opened"):
        Store.open(place, "student")


def replace(path, data):
    """As somebody who publishes a pack should: aside, then renamed."""
    aside = path.with_suffix(".new")
    aside.write_bytes(data)
    aside.replace(path)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
