"""What people hand in, as it comes: texts in any encoding, pipes, old indexes, settings with paths."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import errors, vdistill
from drawings import draw_catalog
from indexes import index_of, unit
from vdistill.bundle import manifest
from vdistill.bundle.items import COLUMNS
from vdistill.index.build import build
from vdistill.inputs.catalog import scan
from vdistill.query.search import Searcher, SearchOptions


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_folder):
    """A catalog that a CSV file describes, with the backbone's index."""
    home = tmp_path_factory.mktemp("home")
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    rows = [json.loads(line) for line in (home / "catalog" / "metadata.jsonl").read_text().splitlines()]
    (home / "catalog" / "metadata.jsonl").unlink()
    lines = [f"{row['file_name']},{row['title']} → 🎁,{row['price']}.00" for row in rows]
    lines = [f"{line},{'true' if n % 2 else ''}" for n, line in enumerate(lines)]
    (home / "catalog" / "metadata.csv").write_text("\n".join(["file_name, title, price, new", *lines]) + "\n")
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", clip_folder, cwd=home)
    assert done.code == 0, done.err
    return home


def process(*arguments, cwd, stdin=b"", env=None, **more):
    """The program in a process of its own, with bytes in and out."""
    return subprocess.run(
        [sys.executable, "-m", "vdistill", *arguments], cwd=cwd, input=stdin, capture_output=True, timeout=120,
        check=False, env={**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})}, **more,
    )  # fmt: skip


def test_the_prices_of_a_csv_catalog_are_numbers(home):
    found = vdistill("query", "mug", "--where", "price < 8 AND new", "-k", 20, "--json", cwd=home).json["results"]
    assert {hit["id"] for hit in found} == {"red_lamp.png"}
    error, hint = errors(vdistill("query", "mug", "--where", '"prise" < 8', cwd=home))
    assert "no column 'prise'" in error
    assert "price" in hint


def older(folder):
    """Turn the index into one that the version before this one wrote."""
    (entry,) = manifest.read(folder).values()
    path = folder / entry.items.name
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE copy (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
    db.execute("INSERT INTO copy SELECT name FROM columns")
    db.execute("DROP TABLE columns")
    db.execute("ALTER TABLE copy RENAME TO columns")
    db.execute("ALTER TABLE items DROP COLUMN ctime_ns")
    db.commit()
    db.close()
    manifest.write(folder, {"backbone": replace(entry, items=manifest.FileFacts.measure(folder, entry.items.name))})


def test_an_index_of_an_older_version_opens_and_is_described_anew_without_embedding(workspace, catalog, encoder):
    first = build(workspace, scan(catalog), encoder, "backbone")
    older(workspace.index)
    embedded = encoder.seen
    with Searcher.at(workspace.index, "backbone") as searcher:
        before = searcher.vectors(searcher.ids)
        assert {hit.id for hit in searcher.search("x", 3, where="price < 8")} == {
            "red_mug.png", "red_lamp.png", "red_chair.png",
        }  # fmt: skip
    second = build(workspace, scan(catalog), encoder, "backbone")
    assert (encoder.seen, second.added, second.updated) == (embedded, 0, 0)
    assert first.items == second.items
    with Searcher.at(workspace.index, "backbone") as searcher:
        np.testing.assert_array_equal(searcher.vectors(searcher.ids), before)
        kinds = searcher.store.items.use(lambda db: dict(db.execute("SELECT name, kind FROM columns").fetchall()))
        assert kinds == {"title": "text", "description": "text", "price": "number"}
        assert searcher.store.items.use(lambda db: db.execute(f"SELECT {COLUMNS}, ctime_ns FROM items").fetchone())[-1]


def test_a_change_that_puts_size_and_time_back_is_seen(workspace, catalog, encoder):
    path = catalog / "red_mug.png"
    Image.new("RGB", (40, 40), "red").save(path, compress_level=0)
    build(workspace, scan(catalog), encoder, "backbone")
    before, seen = path.stat(), encoder.seen
    Image.new("RGB", (40, 40), "blue").save(path, compress_level=0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `exiftool -P` does
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert build(workspace, scan(catalog), encoder, "backbone").updated == 1
    path.chmod(0o600)
    assert build(workspace, scan(catalog), encoder, "backbone").updated == 0, "its content is what it was"
    assert encoder.seen == seen + 1


# Texts


def asked(done):
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line)["query"] for line in done.stdout.decode().rstrip("\n").split("\n")]


def test_a_batch_is_read_alike_from_a_file_and_from_standard_input(home, tmp_path):
    content = "\ufeffred mug\r\n#1 dad\n\nblue\u2028lamp\n  x  ".encode()
    (tmp_path / "q.txt").write_bytes(content)
    wanted = ["red mug", "#1 dad", "blue\u2028lamp", "x"]
    assert asked(process("query", "--batch", "-", "-k", "1", cwd=home, stdin=content)) == wanted
    assert asked(process("query", "--batch", str(tmp_path / "q.txt"), "-k", "1", cwd=home)) == wanted


def test_a_batch_of_rows_asks_what_label_would(home, tmp_path):
    (tmp_path / "q.csv").write_text("id,query\n7,red mug\n8,blue lamp\n")
    done = vdistill("query", "--batch", tmp_path / "q.csv", "-k", 1, cwd=home)
    assert [json.loads(line)["query"] for line in done.out.splitlines()] == ["red mug", "blue lamp"]


def test_bytes_that_are_no_text_are_replaced_or_named_by_their_line(home):
    done = process("query", b"caf\xe9", "-k", "1", "--json", "--hybrid", cwd=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["query"] == "caf\ufffd"
    done = process("query", "--batch", "-", "-k", "1", cwd=home, stdin=b"red\ncaf\xe9\nblue\n", env={"LC_ALL": "C"})
    assert done.returncode == 1
    assert b"standard input, line 2: not UTF-8" in done.stderr
    assert done.stdout.count(b"\n") == 1, "what came before is answered"
    for where in (b"title = 'caf\xe9'", b"\xe9 = 1"):
        done = process("query", "x", "--where", where, cwd=home)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_pipe_that_is_no_utf8_gets_all_there_is(home, encoding):
    env = {"PYTHONIOENCODING": encoding}
    done = process("query", "red mug", "-k", "24", "--json", cwd=home, env=env)
    assert done.returncode == 0, done.stderr
    titles = [hit["metadata"]["title"] for hit in json.loads(done.stdout.decode(encoding))["results"]]
    assert "red mug → 🎁" in titles
    done = process("query", "caf\u00e9 →", "-k", "24", cwd=home, env=env)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"\\u2192" in done.stdout


def test_a_reader_that_stops_early_ends_a_batch_quietly(home, tmp_path):
    (tmp_path / "q.txt").write_text("red mug\n" * 500)
    line = f"set -o pipefail; {sys.executable} -m vdistill query --batch {tmp_path}/q.txt -k 24 | head -n 1"
    done = subprocess.run(["bash", "-c", line], cwd=home, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.count(b"\n"), done.stderr) == (0, 1, b"")


def test_pipes_that_nobody_writes_to_are_refused_and_open_ones_are_read(home, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for option in ("--batch", "--image"):
        error, _ = errors(vdistill("query", option, tmp_path / "pipe.png", cwd=home))
        assert "pipe" in error
    read, write = os.pipe()
    os.write(write, b"red mug\n")
    os.close(write)
    assert asked(process("query", "--batch", f"/dev/fd/{read}", "-k", "1", cwd=home, pass_fds=[read])) == ["red mug"]
    os.close(read)


# Words


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("红色马克杯", "马克杯"),
        ("赤いマグカップ", "マグ"),
        ("赤いマグカップ", "ﾏｸﾞ"),
        ("빨간머그컵을", "머그컵"),
        ("แก้วกาแฟสีแดง", "กาแฟ"),
        ("白い猫", "猫"),
        ("red 马克杯 mug", "mugs"),
        ("Gärten", "garten"),
    ],
)
def test_hybrid_finds_words_of_any_script(tmp_path, title, query):
    with index_of(tmp_path, unit(400, 32), metadata=lambda n: {"title": title if n == 7 else "thing 东西"}) as searcher:
        vector = unit(1, 32, 5)[0]
        assert "00007" not in {hit.id for hit in searcher.hits(vector, 5, SearchOptions(), query)}
        assert "00007" in {hit.id for hit in searcher.hits(vector, 5, SearchOptions(hybrid=True), query)}
        assert searcher.store.items.matching_words(query, 9).tolist() == [400 - 7]


# Settings


SETTINGS = """
workspace = "w"
[label]
catalog = "c"
teacher = "table:t.csv"
queries = "q.txt"
prompt = "p.toml"
export = "e.jsonl"
import = "i.csv"
endpoint = "http://x/v1"
backbone = "openai/clip"
[distill]
merge = "m"
teacher = "qwen2-vl"
backbone = "known"
[query]
image = "i.png"
batch = "-"
gallery = "~/g.html"
where = "price < 3"
[bench]
qrels = "q"
report = "r"
junit = "j"
summary = "s"
against = ["known", "openai/clip"]
no-worse-than = "last"
"""


def test_every_path_in_the_settings_is_relative_to_their_file_and_urls_stay(home, tmp_path):
    from vdistill.cli import config
    from vdistill.cli.app import flags

    (tmp_path / "vdistill.toml").write_text(SETTINGS)
    (tmp_path / "known").mkdir()
    found = config.defaults(tmp_path / "vdistill.toml", flags())

    def here(name):
        return str(tmp_path / name)

    assert found["label"] == {
        "workspace": here("w"), "catalog": here("c"), "teacher": f"table:{here('t.csv')}", "queries": here("q.txt"),
        "prompt": here("p.toml"), "export": here("e.jsonl"), "import": here("i.csv"), "endpoint": "http://x/v1",
        "backbone": "openai/clip",
    }  # fmt: skip
    assert found["distill"] == {
        "workspace": here("w"), "merge": here("m"), "teacher": "qwen2-vl", "backbone": here("known"),
    }  # fmt: skip
    assert found["query"] == {
        "workspace": here("w"), "image": here("i.png"), "batch": "-", "gallery": str(Path("~/g.html").expanduser()),
        "where": "price < 3",
    }  # fmt: skip
    assert found["bench"] == {
        "workspace": here("w"), "qrels": here("q"), "report": here("r"), "junit": here("j"), "summary": here("s"),
        "against": [here("known"), "openai/clip"], "no-worse-than": "last",
    }  # fmt: skip


def test_queries_by_url_in_the_settings_are_fetched_as_they_stand(home, tmp_path):
    (tmp_path / "vdistill.toml").write_text(
        f'workspace = "{home}/.vdistill"\n[label]\nqueries = "memory://nowhere.txt"\n'
    )
    error, _ = errors(vdistill("label", home / "catalog", "--teacher", "metadata", "--dry-run", cwd=tmp_path))
    assert "cannot fetch memory://nowhere.txt" in error


def test_a_batch_in_the_settings_lies_beside_them(home, tmp_path):
    (tmp_path / "vdistill.toml").write_text(f'workspace = "{home}/.vdistill"\n[query]\nbatch = "q.txt"\nk = 1\n')
    (tmp_path / "q.txt").write_text("red mug\n")
    (tmp_path / "below").mkdir()
    done = vdistill("query", cwd=tmp_path / "below")
    assert done.code == 0, done.err
    assert json.loads(done.out)["query"] == "red mug"


def test_shells_complete_commands_and_options(tmp_path):
    env = {"_VDISTILL_COMPLETE": "complete_bash", "COMP_WORDS": "vdistill query --hy", "COMP_CWORD": "2"}
    done = process(cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout.decode().split()) == (0, ["--hybrid"]), done.stderr
    loaded = "import sys; from vdistill.cli import main; main(['--help']); "
    loaded += "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    help_ = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=False)
    assert help_.returncode == 0, help_.stderr
    assert "--install-completion" in help_.stdout
