"""Catalogs in buckets, on hubs and on servers: what they list, and what a bad network or bad credentials do."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import fsspec
import pytest
from fsspec.config import set_conf_env

from catalog_forms import FORMS, as_folder, as_tars, files_of, pictures, rows_of
from command_line import errors, vdistill
from elsewhere import s3  # noqa: F401
from hub_server import DatasetServer
from s3_server import KEY, SECRET
from vdistill.errors import VdistillError
from vdistill.images import file_sha256
from vdistill.inputs.catalog import scan
from vdistill.sources import outages, remote, source_at
from vdistill.sources.cache import use_cache
from vdistill.sources.read_ahead import read_ahead

IMAGES = pictures(120)
ROWS = rows_of(IMAGES)


def contents(catalog):
    return {item.id: (file_sha256(item.source), dict(item.metadata)) for item in scan(catalog).items}


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    home = tmp_path_factory.mktemp("forms")
    return {form: make(home / form, IMAGES, ROWS) for form, make in FORMS.items()}


@pytest.fixture
def memory():
    """A bucket of fsspec's own."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def fill(bucket, files, prefix=""):
    bucket.objects |= {f"{prefix}{name}": data for name, data in files.items()}


@pytest.mark.parametrize("form", FORMS)
def test_a_bucket_gives_the_ids_and_contents_of_the_folder(form, forms, s3):  # noqa: F811
    fill(s3, files_of(forms[form]), "shop/a prefix/")
    s3.page = 50
    assert contents("s3://shop/a prefix/") == contents(forms["folder"])


@pytest.mark.parametrize("form", FORMS)
def test_any_file_system_of_fsspec_does(form, forms, memory):
    for name, data in files_of(forms[form]).items():
        memory.pipe(f"/shop/{name}", data)
    assert contents("memory://shop") == contents(forms["folder"])


HUB = """
import json, sys
from vdistill.images import file_sha256
from vdistill.inputs.catalog import scan
for place in sys.argv[1:]:
    items = scan(place).items
    assert all(item.stamp for item in items)
    print(json.dumps({item.id: [file_sha256(item.source), dict(item.metadata)] for item in items}))
"""


def test_a_dataset_of_the_hub_does(forms):
    files = {f"{form}/{name}": file for form, folder in forms.items() for name, file in files_of(folder).items()}
    expected = {key: list(found) for key, found in contents(forms["folder"]).items()}
    with DatasetServer("owner/shop", files) as hub:
        places = [f"hf://datasets/owner/shop/{form}" for form in forms]
        done = subprocess.run([sys.executable, "-c", HUB, *places], capture_output=True, text=True, env=hub.env)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected] * len(forms), done.stderr


def test_stamps_come_from_the_listing_and_tell_what_changed(s3):  # noqa: F811
    fill(s3, {"a.png": b"123", "b.png": b"456"}, "shop/")
    before = {item.id: item.stamp for item in scan("s3://shop").items}
    s3.objects["shop/b.png"] = b"789"  # of the same size, within the same second
    after = {item.id: item.stamp for item in scan("s3://shop").items}
    assert before["a.png"] == after["a.png"]
    assert before["b.png"][:2] == after["b.png"][:2]
    assert before["b.png"] != after["b.png"]
    assert s3.reads() == []


def test_clutter_and_names_that_are_no_paths_are_left_out(s3):  # noqa: F811
    names = ["a.png", ".hidden/b.png", "@eaDir/c.png", "x//d.png", "../e.png", "f.txt", "folder.png/", "tar:1+2:g.png"]
    fill(s3, dict.fromkeys(names, b"x"), "shop/in/")
    catalog = scan("s3://shop/in")
    assert [item.id for item in catalog.items] == ["a.png"]
    assert {one.id for one in catalog.skipped} == {"x//d.png", "../e.png", "tar:1+2:g.png"}


def test_a_million_objects_would_stream(s3, monkeypatch):  # noqa: F811
    """No page is asked for before the one before it was taken."""
    from vdistill.inputs.listings import list_catalog

    fill(s3, {f"{number}.png": b"x" for number in range(100)}, "shop/")
    s3.page = 10
    found = iter(list_catalog("s3://shop").found)
    for _ in range(15):
        next(found)
    assert len(s3.asked) == 2


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_a_listing_that_breaks_off_goes_on_where_it_was(fault, s3, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remote, "_ATTEMPTS", 3)
    fill(s3, {f"{number:03}.png": b"x" for number in range(100)}, "shop/")
    s3.page, broken = 10, []

    def on_request(line):
        if "list-type" in line and "050" not in broken and "039" in line:
            broken.append("050")
            return fault
        return None

    s3.on_request = on_request
    assert len(scan("s3://shop").items) == 100
    pages = [line for line in s3.asked if "list-type" in line]
    assert len(pages) <= 11, "pages that were there are not asked for again"


def test_a_listing_that_stays_broken_changes_nothing(s3, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remote, "_ATTEMPTS", 2)
    fill(s3, {f"{number:03}.png": b"x" for number in range(100)}, "shop/")
    s3.page = 10
    s3.on_request = lambda line: "error" if "039" in line else None
    with pytest.raises(VdistillError, match=r"cannot list s3://shop") as raised:
        scan("s3://shop")
    assert "nothing was changed" in raised.value.hint


@pytest.fixture
def silent():
    """The port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", ["s3", "s3 as the user says", "http"])
def test_a_server_that_never_answers_ends_in_one_line(kind, s3, silent, tmp_path, monkeypatch):  # noqa: F811
    pytest.importorskip("aiohttp", reason="needs vdistill[http]")
    assert remote.SILENCE * remote._ATTEMPTS <= 100, "the time that docs/catalogs.md tells"
    monkeypatch.setattr(remote, "_ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent}")
    if "user" in kind:
        monkeypatch.setattr(fsspec.config, "conf", {})
        set_conf_env(fsspec.config.conf, {"FSSPEC_S3_CONFIG_KWARGS": '{"read_timeout": 0.2}'})
    else:
        monkeypatch.setattr(remote, "SILENCE", 0.2)
    catalog = f"http://127.0.0.1:{silent}/shop/" if kind == "http" else "s3://shop/images"
    began = time.monotonic()
    error, hint = errors(vdistill("index", catalog, cwd=tmp_path))
    assert time.monotonic() - began < 14, "not the time of another"
    assert error.startswith(f"error: cannot list {catalog.rstrip('/')}: ")
    assert "timeout" in error.lower()
    assert hint == "hint: nothing was changed; check the address and the network, and run this again"


def test_a_bucket_that_lists_slowly_is_waited_for(s3, monkeypatch):  # noqa: F811
    monkeypatch.setattr(remote, "SILENCE", 0.6)
    fill(s3, {f"{number}.png": b"x" for number in range(40)}, "shop/")
    s3.delay, s3.page = 0.2, 10  # longer in all, but never without a word
    assert len(scan("s3://shop").items) == 40
    assert len(s3.asked) == 4


def test_a_bucket_that_fails_again_and_again_is_left_alone_for_a_while(s3, monkeypatch):  # noqa: F811
    def reasons():
        for _, source in read_ahead(scan("s3://shop").items, lambda item: (item.file, item.source)):
            try:
                source.open().close()
            except OSError as error:
                yield error.strerror

    monkeypatch.setattr(remote, "_ATTEMPTS", 1)
    fill(s3, {f"{number:03}.png": b"x" for number in range(300)}, "shop/")
    s3.on_request = lambda line: "error" if "list-type" not in line else None
    found = Counter(reasons())
    assert len(s3.reads()) < 64, "32 in a row, and what was under way"
    ((said, count), (first, _)) = found.most_common()
    assert said == f"not read, since others of its place failed: {first}"
    assert count > 300 - 64
    s3.on_request = lambda _: None
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 61))
    assert not list(reasons())


def test_a_read_that_breaks_off_is_tried_again(s3):  # noqa: F811
    fill(s3, IMAGES, "shop/")
    faults = iter(["drop", "error", None])
    s3.on_request = lambda line: next(faults, None) if "img0007" in line else None
    (name,) = [name for name in IMAGES if "img0007" in name]
    with source_at(f"s3://shop/{name}").open() as file:
        assert file.read() == IMAGES[name]


def test_an_object_that_is_gone_or_denied_is_an_error_of_reading(s3):  # noqa: F811
    fill(s3, {"a.png": b"x"}, "shop/")
    with pytest.raises(OSError, match="no such file"):
        source_at("s3://shop/b.png").open()
    s3.denied = True
    with pytest.raises(OSError, match="access denied"):
        source_at("s3://shop/a.png").open()


def test_denied_and_missing_catalogs_are_named(s3):  # noqa: F811
    fill(s3, {"a.png": b"x"}, "shop/")
    for url, said in (("s3://none/x", "no catalog at s3://none/x"), ("s3://shop/none", "no images in s3://shop/none")):
        with pytest.raises(VdistillError, match=said):
            scan(url)
    s3.denied = True
    with pytest.raises(VdistillError, match=r"cannot list s3://shop: access denied"):
        scan("s3://shop")


def test_missing_credentials_are_named_and_present_ones_never_shown(s3, monkeypatch, caplog):  # noqa: F811
    fill(s3, {"a.png": b"x"}, "shop/")
    s3.denied = True
    with pytest.raises(VdistillError) as denied:
        scan("s3://shop")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    remote._systems.clear()
    with pytest.raises(VdistillError, match="no credentials for s3://shop") as missing:
        scan("s3://shop")
    assert "AWS_ACCESS_KEY_ID" in missing.value.hint
    told = f"{denied.value.message}{denied.value.hint}{missing.value.message}{missing.value.hint}{caplog.text}"
    assert KEY not in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "url",
    ["s3://user:SECRET@shop/x", "https://shop.example/x/?X-Amz-Signature=SECRET", "s3://shop/a.tar?token=SECRET",
     "https://u:SECRET@shop.example/a.parquet"],
)  # fmt: skip
def test_an_address_with_a_secret_is_refused_without_showing_it(url):
    with pytest.raises(VdistillError, match="holds a password, a signature or a key") as raised:
        scan(url)
    assert "SECRET" not in raised.value.message + raised.value.hint


def test_a_missing_package_is_named_by_its_extra():
    script = """
import sys
from vdistill.errors import VdistillError
from vdistill.inputs.catalog import scan
for url, package in ("s3://shop/x", "s3fs"), ("gs://shop/x", "gcsfs"), ("https://shop.example/x/", "aiohttp"):
    sys.modules[package] = None
    try:
        scan(url)
    except VdistillError as error:
        print(error.message, error.hint, sep="; ")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{scheme}:// needs a package that is missing; pip install 'vdistill[{extra}]'"
        for scheme, extra in (("s3", "s3"), ("gs", "gcs"), ("https", "http"))
    ]


def test_an_unknown_scheme_is_named():
    with pytest.raises(VdistillError, match="no file system is known for nosuch://"):
        scan("nosuch://shop/x")


def test_a_listing_of_a_server_keeps_odd_names(tmp_path):
    pytest.importorskip("aiohttp", reason="needs vdistill[http]")
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    as_folder(tmp_path / "shop", {"a b.png": IMAGES[min(IMAGES)], "sub/é#1.png": b"x"}, {"a b.png": {"title": "A"}})
    as_folder(tmp_path / "other", {"c.png": b"x"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        found = scan(f"http://127.0.0.1:{server.server_port}/shop/").items
        assert [item.id for item in found] == ["a b.png", "sub/é#1.png"]
        assert found[0].title == "A"
        assert file_sha256(found[0].source) == file_sha256(tmp_path / "shop" / "a b.png")
    finally:
        server.shutdown()
        server.server_close()


def test_shards_elsewhere_are_listed_once_where_there_is_a_cache(s3, tmp_path):  # noqa: F811
    fill(s3, files_of(as_tars(tmp_path / "tars", IMAGES, ROWS)), "shop/")
    use_cache(tmp_path / "cache", 1)
    before = contents("s3://shop")
    del s3.asked[:]
    assert contents("s3://shop") == before
    assert s3.reads() == []
    assert len(s3.asked) == 1
    s3.objects["shop/000.tar"] = s3.objects["shop/001.tar"]
    assert len(contents("s3://shop")) == 120 - 40 + 40
    assert s3.reads()


def test_metadata_elsewhere_that_is_broken_is_named_by_line(memory):
    memory.pipe("/shop/a.png", b"x")
    memory.pipe("/shop/metadata.jsonl", json.dumps({"file_name": "a.png"}).encode() + b"\n{")
    with pytest.raises(VdistillError, match=r"metadata\.jsonl, line 2: not JSON"):
        scan("memory://shop")
