"""The commands on a catalog in a bucket, in tars and in Parquet files: as on the folder it was made from."""

import io
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from catalog_forms import FORMS, as_folder, files_of, pictures, rows_of
from command_line import vdistill, write_scores
from elsewhere import s3  # noqa: F401
from hub_server import DatasetServer
from s3_server import KEY, SECRET
from shop_server import ShopServer, send
from vdistill.query.search import Searcher
from vdistill.sources.remote import READERS


def fill(bucket, files, prefix):
    bucket.objects |= {f"{prefix}{name}": data for name, data in files.items()}


def index(home, catalog, backbone, *more):
    home.mkdir(exist_ok=True)
    done = vdistill("index", catalog, "--backbone", backbone, *more, "--json", cwd=home)
    assert done.code == 0, done.err
    return done


def vectors(home):
    with Searcher.open(home / ".vdistill") as searcher:
        return dict(zip(searcher.ids, np.asarray(searcher.vectors(searcher.ids)), strict=True))


def same(ours, theirs):
    return sorted(ours) == sorted(theirs) and all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_indexing_again_costs_one_listing_and_no_reads(tmp_path, s3, clip_folder):  # noqa: F811
    fill(s3, pictures(40), "shop/")
    assert index(tmp_path, "s3://shop", clip_folder).json["added"] == 40
    assert len(s3.reads()) == 40, "each image is read once"
    del s3.asked[:]
    assert index(tmp_path, "s3://shop", clip_folder).json["added"] == 0
    assert len(s3.asked) == 1
    name = min(pictures(40))
    s3.objects[f"shop/{name}"] = pictures(50)[max(pictures(50))]
    report = index(tmp_path, "s3://shop", clip_folder).json
    assert (report["added"], report["updated"]) == (0, 1)
    assert len(set(s3.reads())) == 1


def test_images_are_read_ahead_many_at_once(tmp_path, s3, clip_folder):  # noqa: F811
    fill(s3, pictures(80), "shop/")
    s3.delay = 0.2
    index(tmp_path, "s3://shop", clip_folder)
    assert 8 <= s3.most <= READERS
    assert len(s3.reads()) == 80


def test_an_object_that_goes_or_changes_under_the_run_is_told_or_read_as_it_is(tmp_path, s3, clip_folder):  # noqa: F811
    images = pictures(12)
    fill(s3, images, "shop/")
    gone, changed = sorted(images)[:2]

    def on_request(line):
        if "list-type" not in line:
            s3.objects.pop(f"shop/{gone}", None)
            s3.objects[f"shop/{changed}"] = images[sorted(images)[5]]

    s3.on_request = on_request
    done = index(tmp_path, "s3://shop", clip_folder)
    assert done.json["items"] == 11
    assert f"skipped {gone}: no such file" in done.err
    found = vectors(tmp_path)
    assert np.array_equal(found[changed], found[sorted(images)[5]])
    assert index(tmp_path, "s3://shop", clip_folder).json["items"] == 11


def test_a_cache_is_read_where_the_bucket_was(tmp_path, s3, clip_folder):  # noqa: F811
    fill(s3, pictures(20), "shop/")
    found = []
    for more, reads in ((), 20), ((), 0), (("--cache-gib", 0), 20):
        del s3.asked[:]
        done = vdistill("index", "s3://shop", "--backbone", clip_folder, *more, cwd=tmp_path)
        assert done.code == 0, done.err
        assert len(s3.reads()) == reads
        found.append(vectors(tmp_path))
        shutil.rmtree(tmp_path / ".vdistill" / "index")
    assert same(found[0], found[1])


def test_a_cache_holds_no_more_than_it_may_which_the_workspace_remembers(tmp_path, s3, clip_folder):  # noqa: F811
    images = {}
    for number in range(40):
        file = io.BytesIO()
        Image.frombytes("RGB", (60, 60), random.Random(number).randbytes(10_800)).save(file, "PNG")
        images[f"{number}.png"] = file.getvalue()
    fill(s3, images, "shop/")
    limit = sum(map(len, images.values())) / 4
    sizes = []
    for more in ("--cache-gib", limit / 2**30), ():
        done = vdistill("index", "s3://shop", "--backbone", clip_folder, *more, cwd=tmp_path)
        assert done.code == 0, done.err
        sizes.append(sum(map(len, files_of(tmp_path / ".vdistill" / "cache" / "images" / "files").values())))
        shutil.rmtree(tmp_path / ".vdistill" / "index")
    assert all(limit / 2 < size <= limit for size in sizes)
    assert len(s3.reads()) > 60, "what it did not hold is read again"


def test_no_secret_reaches_output_or_index(tmp_path, s3, clip_folder):  # noqa: F811
    fill(s3, pictures(4), "shop/")
    s3.objects["shop/denied.png"] = b""
    done = index(tmp_path, "s3://shop", clip_folder)
    refused = vdistill("index", f"s3://{KEY}:{SECRET}@shop", cwd=tmp_path)
    assert refused.code == 1
    written = b"".join(files_of(tmp_path).values())
    for secret in (KEY, SECRET):
        assert secret not in done.out + done.err + refused.out + refused.err
        assert secret.encode() not in written


def commands(home, catalog, backbone):
    """All five, small; what `query` finds and `bench` prints."""
    for step in (
        ["label", catalog, "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone", backbone,
         "--images-per-call", 4, "--budget", 150, "--holdout", 0.4, "--json"],
        ["distill", "--epochs", 1, "--rank", 2, "--lr", 0.001, "--keep-anyway", "--json"],
        ["index", "--json"],
    ):  # fmt: skip
        done = vdistill(*step, cwd=home)
        assert done.code == 0, (step, done.err)
    found = vdistill("query", "something red", "-k", 5, "--gallery", "page.html", "--json", cwd=home)
    bench = vdistill("bench", "--json", cwd=home)
    assert (found.code, bench.code) == (0, 0), found.err + bench.err
    assert "data:image/" in (home / "page.html").read_text()
    return [(hit["id"], hit["score"]) for hit in found.json["results"]], bench.json["models"]


@pytest.mark.slow
def test_all_commands_give_the_same_from_everywhere(tmp_path, s3, vision_text_folder, clip_folder, drawn_catalog):  # noqa: F811
    images, places = pictures(520), {}
    for form, make in FORMS.items():
        places[form] = make(tmp_path / "made" / form, images, rows_of(images))
        fill(s3, files_of(places[form]), f"shop/{form}/")
        places[f"s3 {form}"] = f"s3://shop/{form}"
    expected = None
    for name, place in places.items():
        assert index(tmp_path / f"index {name}", place, clip_folder, "--dtype", "f32").json["items"] == 520
        found = vectors(tmp_path / f"index {name}")
        expected = expected or found
        assert same(found, expected), name
    drawn = {path.name: path.read_bytes() for path in drawn_catalog.glob("*.png")}
    titles = {name: {"title": name.removesuffix(".png").replace("_", " ")} for name in drawn}
    results = []
    for name in ("folder", "s3 folder", "tars", "s3 parquet"):
        home = tmp_path / f"all {name}"
        home.mkdir()
        place = FORMS[name.split()[-1]](home / "catalog", drawn, titles)
        if name.startswith("s3"):
            fill(s3, files_of(place), f"drawn/{name}/")
            shutil.rmtree(place)
            place = f"s3://drawn/{name}"
        write_scores(home, sorted(drawn))
        results.append(commands(home, place, vision_text_folder))
    with ShopServer(drawn_catalog) as shop:
        home = tmp_path / "all feed"
        home.mkdir()
        links = "".join(f"{name},{titles[name]['title']},{shop.url}/images/{name}\n" for name in drawn)
        shop.answers["/feed.csv"] = lambda request: send(request, f"file_name,title,image_link\n{links}".encode())
        write_scores(home, sorted(drawn))
        results.append(commands(home, f"{shop.url}/feed.csv", vision_text_folder))
    for one in results:
        assert one == results[0]


HUB_FORMS = ("folder", "parquet")
INDEX_ALL = """
import os, sys
from vdistill.cli import main
backbone, *places = sys.argv[1:]
for place in places:
    os.makedirs(place.rpartition("/")[2])
    os.chdir(place.rpartition("/")[2])
    assert main(["index", place, "--backbone", backbone, "--dtype", "f32"]) == 0
    os.chdir("..")
"""


@pytest.mark.slow
def test_a_dataset_of_the_hub_gives_the_same_as_a_folder(tmp_path, clip_folder):
    made = {form: FORMS[form](tmp_path / "made" / form, pictures(60), rows_of(pictures(60))) for form in HUB_FORMS}
    files = {f"data/the {form}/{name}": data for form, place in made.items() for name, data in files_of(place).items()}
    places = [made["folder"], *(f"hf://datasets/owner/shop/data/the {form}" for form in HUB_FORMS)]
    with DatasetServer("owner/shop", files) as hub:
        command = [sys.executable, "-c", INDEX_ALL, clip_folder, *places]
        subprocess.run(list(map(str, command)), cwd=tmp_path, env=hub.env, check=True)
    expected, *others = (vectors(tmp_path / str(place).rpartition("/")[2]) for place in places)
    assert len(expected) == 60
    assert all(same(one, expected) for one in others)


@pytest.mark.slow
def test_another_server_of_the_protocol_gives_the_same(tmp_path, monkeypatch, clip_folder, s3):  # noqa: F811
    server = pytest.importorskip("moto.server", reason="needs moto and flask")
    import s3fs

    other = server.ThreadedMotoServer(port=0, verbose=False)
    other.start()
    try:
        host, port = other.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        bucket = s3fs.S3FileSystem(skip_instance_cache=True)
        bucket.mkdir("shop")
        for name, data in pictures(30).items():
            bucket.pipe(f"shop/some/{name}", data)
        index(tmp_path / "a", "s3://shop/some", clip_folder)
        index(tmp_path / "b", as_folder(tmp_path / "folder", pictures(30)), clip_folder)
        assert same(vectors(tmp_path / "a"), vectors(tmp_path / "b"))
        assert index(tmp_path / "a", "s3://shop/some", clip_folder).json["updated"] == 0
    finally:
        other.stop()
