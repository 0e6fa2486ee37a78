"""`bench --set`: public sets as they are published, made of drawings, become files that every command reads."""

import contextlib
import io
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import errors, vdistill
from drawings import COLOURS, SHAPES, draw
from vdistill.bench.public_sets.images import fetch_images
from vdistill.bench.public_sets.sqid import Sqid
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.images import file_sha256
from vdistill.records import Query

NAMES = [(colour, number, shape) for colour in COLOURS for number, shape in enumerate(SHAPES)]


@pytest.fixture
def shop(home, tmp_path):
    """A copy of the workspace that a test may write to."""
    shutil.copytree(home / ".vdistill", tmp_path / ".vdistill")
    return tmp_path


def png(colour, number):
    file = io.BytesIO()
    draw(colour, number, 50, 60).save(file, "PNG")
    return file.getvalue()


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def inquire(folder, **changes):
    """Four queries for a colour; all images are judged for the first two, half of them for the others."""
    rows = []
    for place, colour in enumerate(COLOURS):
        for image, (of, number, shape) in enumerate(NAMES[:: 1 + place // 2]):
            rows.append({
                "image": {"bytes": png(of, number), "path": None}, "query": f"a {colour} thing",
                "relevant": int(of == colour), "clip_score": 0.3, "inat24_image_id": COLOURS.index(of) * 10 + number,
                "inat24_file_name": f"{image}.jpg", "supercategory": "Things", "category": "Shape",
                "iconic_group": "Drawings", "inat24_species_id": number, "inat24_species_name": shape, "latitude": 0.0,
                "longitude": 0.0, "location_uncertainty": 1.0, "date": "2024-01-01", "license": "CC BY",
                "rights_holder": "nobody", **changes,
            })  # fmt: skip
    write_parquet(folder / "source" / "data" / "test-00000-of-00002.parquet", rows[:20])
    write_parquet(folder / "source" / "data" / "test-00001-of-00002.parquet", rows[20:])


def bench(shop, *arguments):
    done = vdistill("bench", "--set", *arguments, "--json", cwd=shop)
    assert done.code == 0, done.err
    return done


def test_inquire_is_made_once_and_measured(shop):
    inquire(shop / "inquire")
    done = bench(shop, "inquire-rerank:inquire", "--report", "page.html", "--write-qrels", "again.txt")
    assert (done.json["queries"], done.json["items"]) == (4, 24)
    assert {"backbone", "student", "bm25"} <= done.json["models"].keys()
    assert done.json["judge"]["name"] == "inquire-rerank"
    assert "CC BY-NC" in done.json["set"]["licence"]
    assert "arXiv 2411.02537" in done.err
    assert "2411.02537" in (shop / "page.html").read_text()
    qrels = (shop / "inquire" / "qrels.txt").read_text().splitlines()
    assert len(qrels) == 24 + 24 + 12 + 12
    assert sorted(qrels) == sorted((shop / "again.txt").read_text().splitlines())
    assert len((shop / "inquire" / "attribution.jsonl").read_text().splitlines()) == 24
    shutil.rmtree(shop / "inquire" / "source")
    again = bench(shop, "inquire-rerank:inquire")
    assert again.json["models"] == done.json["models"]


@pytest.mark.parametrize("name", ["queries.jsonl", "qrels.txt", "catalog/metadata.jsonl"])
def test_files_of_the_user_are_never_overwritten(shop, name):
    mine = shop / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine\n")
    inquire(shop / "mine")
    error, hint = errors(vdistill("bench", "--set", "inquire-rerank:mine", cwd=shop))
    assert "mine holds other files" in error
    assert "give an empty folder" in hint
    assert mine.read_text() == "mine\n"


def test_only_what_was_judged_is_ranked(shop):
    inquire(shop / "inquire")
    bench(shop, "inquire-rerank:inquire", "--write-run", "runs")
    ranked = [line.split()[0] for line in (shop / "runs" / "student.trec").read_text().splitlines()]
    assert sorted(map(ranked.count, set(ranked))) == [12, 12, 24, 24]


def test_a_set_is_a_catalog_for_the_other_commands(tmp_path, clip_folder):
    inquire(tmp_path / "inquire-rerank")
    done = bench(tmp_path, "inquire-rerank", "--backbone", clip_folder)
    assert done.json["models"]["student"] is None
    asked = vdistill("label", "inquire-rerank/catalog", "--queries", "inquire-rerank/queries.jsonl", "--teacher",
                     "metadata", "--dry-run", "--json", cwd=tmp_path)  # fmt: skip
    assert asked.code == 0, asked.err
    assert asked.json["queries"] == 4


def test_some_queries_are_enough(shop):
    inquire(shop / "few")
    done = bench(shop, "inquire-rerank:few", "--set-queries", 2)
    assert done.json["queries"] == 2
    error, hint = errors(vdistill("bench", "--set", "inquire-rerank:few", cwd=shop))
    assert "holds inquire-rerank with 2 queries" in error
    assert "another folder" in hint


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        name = Path(self.path).name
        if (Path(self.directory) / "down").exists() and name in ("0.png", "1.png"):
            self.send_error(503)
        elif name == "moved.png":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/0.png")
            self.end_headers()
        elif name == "endless.png":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 20))
        else:
            super().do_GET()


@pytest.fixture
def seller(tmp_path, monkeypatch):
    """The images of the products at addresses on loopback; the last one is no image."""
    monkeypatch.setattr(Sqid, "public_only", False)
    folder = tmp_path / "seller"
    folder.mkdir()
    for place, (colour, number, _) in enumerate(NAMES):
        (folder / f"{place}.png").write_bytes(png(colour, number))
    (folder / f"{len(NAMES) - 1}.png").write_text("<html>gone</html>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def sqid(folder, url, joined):
    """Products with a colour and a shape, and queries for a colour: as first published, or joined into one file."""
    ids = [f"B{place:09}" for place in range(len(NAMES))]
    products = [
        {"product_id": key, "product_title": f"{colour} {shape}", "product_description": None,
         "product_bullet_point": "good", "product_brand": "Us", "product_color": colour, "product_locale": "us"}
        for key, (colour, _, shape) in zip(ids, NAMES, strict=True)
    ]  # fmt: skip
    labels = {True: "Exact", False: "Irrelevant"} if joined else {True: "E", False: "I"}
    examples = [
        {"example_id": 1, "query": f"{colour}  things", "query_id": place, "product_id": row["product_id"],
         "product_locale": "us", "esci_label": labels[row["product_color"] == colour], "small_version": 1,
         "large_version": 1, "split": "test"}
        for place, colour in enumerate(COLOURS) for row in products
    ]  # fmt: skip
    elsewhere = [
        {**examples[0], "query_id": 90, "product_locale": "es"},
        {**examples[0], "query_id": 91, "small_version": 0},
    ]
    urls = [{"product_id": key, "image_url": f"{url}/{place}.png"} for place, key in enumerate(ids)]
    urls += [{"product_id": "../../evil", "image_url": f"{url}/0.png"}, {"product_id": "B999999999", "image_url": None}]
    source = folder / "source"
    if joined:
        texts = {row["product_id"]: row for row in products}
        rows = [{**{key: value for key, value in row.items() if key != "split"}, **texts[row["product_id"]],
                 "product_locale": row["product_locale"]} for row in [*examples, *elsewhere]]  # fmt: skip
        write_parquet(source / "data" / "test-00000-of-00001.parquet", rows)
        write_parquet(source / "data" / "product_image_urls.parquet", urls)
    else:
        train = {**examples[0], "query_id": 92, "split": "train"}
        write_parquet(source / "shopping_queries_dataset_examples.parquet", [*examples, *elsewhere, train])
        write_parquet(source / "shopping_queries_dataset_products.parquet", products)
        lines = [f"{row['product_id']},{row['image_url'] or ''}" for row in urls]
        (source / "product_image_urls.csv").write_text("\n".join(["product_id,image_url", *lines]) + "\n")


@pytest.mark.parametrize("joined", [False, True])
def test_sqid_joins_labels_products_and_images(shop, seller, joined):
    sqid(shop / "sqid", seller, joined)
    done = bench(shop, "sqid")
    assert (done.json["queries"], done.json["items"]) == (4, 23)
    assert "1 of 24 images left out, the first: B000000023" in done.err
    grades = {line.split()[-1] for line in (shop / "sqid" / "qrels.txt").read_text().splitlines()}
    assert grades == {"100", "0"}
    row = json.loads((shop / "sqid" / "catalog" / "metadata.jsonl").read_text().splitlines()[0])
    assert row["sku"] == row["file_name"].removesuffix(".jpg")
    assert row["title"] == f"{row['color']} {row['title'].split()[1]}"
    queries = [json.loads(line)["query"] for line in (shop / "sqid" / "queries.jsonl").read_text().splitlines()]
    assert queries == [f"{colour} things" for colour in COLOURS]
    assert not list(shop.rglob("evil*"))
    assert done.json["models"]["bm25"]["ndcg@10"] > 0.9


def test_a_network_that_fails_leaves_no_finished_set(shop, seller, tmp_path):
    sqid(shop / "sqid", seller, joined=True)
    (tmp_path / "seller" / "down").touch()
    error, hint = errors(vdistill("bench", "--set", "sqid", cwd=shop))
    assert "the network failed for 2 images, B000000000: the server answers 503" in error
    assert "run the same command again" in hint
    assert not (shop / "sqid" / "set.json").exists()
    (tmp_path / "seller" / "down").unlink()
    assert bench(shop, "sqid").json["items"] == 23


def test_what_the_client_of_the_hub_notes_is_no_published_file(shop, seller):
    sqid(shop / "sqid", seller, joined=True)
    notes = shop / "sqid" / "source" / ".cache" / "huggingface" / "download" / "data"
    notes.mkdir(parents=True)
    for ending in ("lock", "metadata"):
        (notes / f"product_image_urls.parquet.{ending}").touch()
    assert bench(shop, "sqid").json["items"] == 23


def test_images_are_not_fetched_from_the_own_network(seller, tmp_path):
    odd = {"a": f"{seller}/0.png", "b": "file:///etc/passwd", "c": "ftp://127.0.0.1/x", "d": "http://[::1]/x"}
    with pytest.raises(VdistillError, match=r"none of the 4 images .*, a: 127\.0\.0\.1 is a private address"):
        fetch_images(odd, tmp_path / "images", print)
    assert not list(tmp_path.glob("images/*"))
    names, failed = fetch_images(
        {"a": f"{seller}/moved.png", "b": "file:///x", "c": f"{seller}/none.png", "d": f"{seller}/endless.png"},
        tmp_path / "images", print, public_only=False,
    )  # fmt: skip
    assert names == {"a": "a.jpg"}
    assert failed == [
        "b: file: is not fetched, only http: and https:", "c: the server answers 404", "d: more than 32 MiB"
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("name", ["inquire-rerank", "sqid"])
def test_half_a_download_is_fetched_again(shop, seller, name):
    if name == "sqid":
        sqid(shop / name, seller, joined=True)
        data = shop / name / "source" / "data"
        (data / "test-00000-of-00001.parquet").rename(data / "test-00000-of-00002.parquet")
    else:
        inquire(shop / name)
        (shop / name / "source" / "data" / "test-00001-of-00002.parquet").unlink()
    error, _ = errors(vdistill("bench", "--set", name, cwd=shop))
    assert "not all " in error
    assert not (shop / name / "set.json").exists()


@pytest.mark.parametrize(
    ("given", "message", "hinted"),
    [
        ("inquire-rerang", "no public set 'inquire-rerang'", "did you mean inquire-rerank"),
        ("inquire-rerank:nothing", "cannot fetch INQUIRE-Rerank", "hf download evendrow/INQUIRE-Rerank"),
        ("sqid:nothing", "cannot fetch SQID", "product_image_urls.parquet"),
    ],
)
def test_what_is_not_there_is_one_error(shop, given, message, hinted):
    error, hint = errors(vdistill("bench", "--set", given, cwd=shop))
    assert message in error
    assert hinted in hint


def test_another_layout_is_one_error(shop):
    write_parquet(shop / "odd" / "source" / "data" / "test-0.parquet", [{"text": "a", "label": 1}])
    error, _ = errors(vdistill("bench", "--set", "inquire-rerank:odd", cwd=shop))
    assert "has no column 'query'; it has text, label" in error
    (shop / "odd" / "source" / "data" / "test-0.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    error, _ = errors(vdistill("bench", "--set", "inquire-rerank:odd", cwd=shop))
    assert "not a readable Parquet file" in error


def test_a_set_has_its_own_qrels(shop):
    assert vdistill("bench", "--set", "sqid", "--qrels", "x.txt", cwd=shop).code == 2
    for ignored in (["--per", "image"], ["--judge", "vlm"], ["--only-judged"]):
        assert vdistill("bench", "--set", "sqid", *ignored, cwd=shop).code == 2
    assert vdistill("bench", "--set-queries", 3, cwd=shop).code == 2


def test_what_the_workspace_was_trained_on_is_left_out(home, shop):
    inquire(shop / "inquire")
    plain = bench(shop, "inquire-rerank:inquire").json
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        database.add_queries([Query("1", "A red  Thing", "train")])
        hashed = file_sha256(shop / "inquire" / "catalog" / "0.jpg")
        database.add_item_sides([("content", hashed, "train")])
    done = bench(shop, "inquire-rerank:inquire")
    assert (done.json["queries"], done.json["items"]) == (plain["queries"] - 1, plain["items"] - 1)
    assert "1 queries and 1 images left out: the workspace uses them for training" in done.err
