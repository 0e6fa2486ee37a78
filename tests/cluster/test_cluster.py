"""`index` and `label` on a Ray cluster: the results of one process, whatever dies, and clear words for bad input."""

import importlib.util
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlm_models
from command_line import Done, errors, vdistill
from ray_nodes import SETTINGS, nodes
from vdistill.query.search import Searcher

IMAGES, MOMENTS = 400, 2  # tests/benchmarks/cluster_kills.py has ten of each kind
FLOAT32 = Path(__file__).parents[1] / "support" / "float32.py"
needs_ray = [pytest.mark.slow, pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no extra `ray`")]


def ray_test(test):
    for mark in needs_ray:
        test = mark(test)
    return test


# What is wrong before a cluster is asked for anything.


@pytest.mark.parametrize("engine", ["", "rai", "localhost", "ray://host", "10.0.0.1:99999", "http://10.0.0.1:6379"])
def test_an_engine_that_is_no_address_is_refused(tmp_path, catalog, engine):
    error, hint = errors(vdistill("index", "catalog", "--engine", engine, cwd=tmp_path))
    assert error == f"error: --engine is {engine!r}"
    assert "ray://HOST:PORT" in hint


def test_without_ray_the_error_names_the_extra(tmp_path, catalog, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    error, hint = errors(vdistill("index", "catalog", "--engine", "ray", cwd=tmp_path))
    assert error == "error: --engine needs the package ray"
    assert "vdistill[ray]" in hint
    assert not (tmp_path / ".vdistill").exists()


@ray_test
@pytest.mark.parametrize("engine", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_an_address_that_does_not_answer(tmp_path, catalog, engine):
    error, hint = errors(vdistill("index", "catalog", "--engine", engine, cwd=tmp_path))
    assert error == f"error: the Ray cluster at {engine} does not answer: connection refused"
    assert "port" in hint


@ray_test
def test_a_server_that_is_no_ray_cluster(tmp_path, catalog):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    done = vdistill("index", "catalog", "--engine", f"127.0.0.1:{server.server_port}", cwd=tmp_path)
    error, _ = errors(done)
    server.shutdown()
    server.server_close()
    assert error == f"error: what answers at 127.0.0.1:{server.server_port} is no Ray cluster"


def test_a_teacher_without_a_model_here_has_no_use_for_an_engine(tmp_path, catalog):
    done = vdistill("label", "catalog", "--teacher", "metadata", "--engine", "127.0.0.1:9", cwd=tmp_path)
    error, hint = errors(done)
    assert error.startswith("error: --engine is for models that run in processes of ours, and metadata/")
    assert "leave --engine out" in hint
    (tmp_path / "vdistill.toml").write_text('engine = "127.0.0.1:9"\n')
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", cwd=tmp_path)
    assert "scores.csv" in errors(done)[0], "as a default it is no reason to refuse"


# Indexing.


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_folder):
    """A folder with 400 pictures, two of which cannot be read, indexed without a cluster in the workspace `alone`."""
    home = tmp_path_factory.mktemp("home")
    (home / "catalog").mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(home / f"catalog/{number:04}.jpg")
    for number in (50, 250):
        (home / f"catalog/{number:04}.jpg").write_bytes(b"no picture")
    shutil.copytree(clip_folder, home / "model")
    assert index(home, "alone").code == 0
    return home


@pytest.fixture(scope="module")
def cluster():
    with nodes(head=1, one=1, two=1) as found:
        yield found


def start(home, workspace, engine=None, *more):
    command = [FLOAT32, "index", "catalog", "--backbone", "model", "--dtype", "f32", "--workspace", workspace, "--json"]
    command += ["--engine", engine] if engine else []
    return program(home, *command, *more)


def program(home, *words):
    return subprocess.Popen([sys.executable, *words], cwd=home, text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **SETTINGS})  # fmt: skip


def finish(process):
    out, err = process.communicate()
    return Done(process.returncode, out, err)


def index(home, workspace, engine=None, *more):
    return finish(start(home, workspace, engine, *more))


def wait_for(home, workspace, vectors, process):
    while process.poll() is None:
        for path in (home / workspace / "cache").glob("vectors-*.db"):
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                if connection.execute("SELECT count(*) FROM vectors").fetchone()[0] >= vectors:
                    return
            except sqlite3.Error:
                pass
            finally:
                connection.close()
        time.sleep(0.02)


def vectors_of(home, workspace):
    with Searcher.at(home / workspace / "index", "backbone") as searcher:
        names = sorted(path.name for path in (home / "catalog").iterdir() if path.stem not in ("0050", "0250"))
        hits = searcher.search(searcher.vectors(names[:1])[0], 2 * IMAGES)
        assert sorted(hit.id for hit in hits) == names, "an item is missing, or there twice"
        return searcher.vectors(names)


def assert_as_alone(home, workspace, done):
    assert done.code == 0, done.err
    assert done.json["items"] == IMAGES - 2
    assert {one["id"] for one in done.json["skipped"]} == {"0050.jpg", "0250.jpg"}
    assert np.array_equal(vectors_of(home, workspace), vectors_of(home, "alone"))
    assert not list((home / workspace / "cache").glob("vectors-*")), "what was pending is published"


@ray_test
def test_a_cluster_of_this_machine_gives_the_vectors_of_one_process_and_leaves_nothing_behind(home):
    before = set(Path("/tmp").glob("vdistill-ray-*"))
    done = index(home, "own", "ray")
    assert_as_alone(home, "own", done)
    assert set(Path("/tmp").glob("vdistill-ray-*")) == before


@ray_test
@pytest.mark.parametrize("kind", ["address", "client"])
def test_three_nodes_give_the_vectors_of_one_process(home, cluster, kind):
    assert_as_alone(home, kind, index(home, kind, getattr(cluster, kind)))


@ray_test
def test_a_node_that_dies_at_any_moment_loses_nothing(home, cluster):
    rng = random.Random(1)
    for number in range(MOMENTS):
        process = start(home, f"node-{number}", cluster.address)
        wait_for(home, f"node-{number}", rng.randrange(IMAGES - 64), process)
        cluster.kill("two")
        done = finish(process)
        cluster.start("two")
        assert_as_alone(home, f"node-{number}", done)


@ray_test
def test_a_command_that_dies_at_any_moment_goes_on_where_it_was(home, cluster):
    rng = random.Random(2)
    for number in range(MOMENTS):
        process = start(home, f"command-{number}", cluster.address)
        wait_for(home, f"command-{number}", rng.randrange(IMAGES - 64), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert_as_alone(home, f"command-{number}", index(home, f"command-{number}", cluster.address))


@ray_test
def test_a_cluster_without_cores_is_refused_at_once(home):
    with nodes(head=0) as empty:
        error, hint = errors(index(home, "refused", empty.address))
    assert "has no room for a worker: 1 nodes with 0 CPUs and 0 GPUs" in error
    assert "add a node" in hint


@ray_test
def test_a_cluster_with_another_version_of_ray_is_refused(home):
    with nodes(version="2.0.0", head=1) as other:
        error, hint = errors(index(home, "version", other.address))
    assert "has another version of Ray or Python" in error
    assert "2.0.0" in error
    assert "same versions" in hint


OCCUPY = """
import sys, ray
ray.init(sys.argv[1], log_to_driver=False)
@ray.remote(num_cpus=1)
class Busy:
    def there(self): return True
busy = Busy.remote()
ray.get(busy.there.remote())
print("busy", flush=True)
sys.stdin.read()
"""
IMPATIENT = """
import sys
from vdistill.cluster import crew
from vdistill.cli import main
crew.BUSY, crew.PATIENCE = 2.0, 6.0
sys.exit(main(sys.argv[1:]))
"""


@ray_test
def test_a_cluster_whose_cores_others_use_is_waited_for_and_then_given_up(home):
    with nodes(head=1) as cluster:
        other = program(home, "-c", OCCUPY, cluster.address)
        assert other.stdout.readline() == "busy\n"
        command = ["index", "catalog", "--backbone", "model", "--workspace", "busy", "--engine", cluster.address]
        done = finish(program(home, "-c", IMPATIENT, *command))
        other.communicate("")
    assert done.code == 1
    assert "has started no worker yet: 0 of 1 CPUs and 0 of 0 GPUs are free" in done.err
    error, hint = errors(done)
    assert "started no worker in" in error
    assert "the same command goes on from here" in hint


def node_with(cluster, folder, name, **files):
    """Start a node whose Python finds these files first."""
    folder.mkdir(exist_ok=True)
    for path, text in files.items():
        target = folder / path.replace("__in__", "/")
        target.parent.mkdir(exist_ok=True)
        target.with_suffix(".py").write_text(text)
    cluster.start(name, 1, env_vars={"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"})


BLIND = """
import builtins, io
real = io.open
def refuse(file, *more, **options):
    if "/catalog/" in str(file):
        raise FileNotFoundError(2, "No such file or directory", str(file))
    return real(file, *more, **options)
io.open = builtins.open = refuse
"""


@ray_test
def test_a_node_that_cannot_do_it_is_left_out_and_one_without_others_is_refused(home, tmp_path):
    with nodes(head=0) as cluster:
        node_with(cluster, tmp_path / "old", "old", vdistill__in____init__="__version__ = '0.0.1'")
        error, hint = errors(index(home, "old", cluster.address))
        assert "no node of the Ray cluster" in error
        assert "it has vdistill 0.0.1, this machine " in error
        assert "same vdistill" in hint
        cluster.kill("old")
        node_with(cluster, tmp_path / "none", "none", vdistill__in____init__="raise ImportError")
        error, _ = errors(index(home, "none", cluster.address))
        assert "it lacks vdistill" in error
        node_with(cluster, tmp_path / "blind", "blind", sitecustomize=BLIND)
        error, _ = errors(index(home, "blind", cluster.address))
        assert "it does not see the catalog: no such file or directory" in error
        cluster.start("good", 1)
        done = index(home, "good", cluster.address)
        assert_as_alone(home, "good", done)
        assert "none is left out: it lacks vdistill" in done.err
        # `blind` is left out, too, unless `good` has done it all before `blind` has a part.


DEADLY = """
import builtins, io, os
real = io.open
def die(file, *more, **options):
    if str(file).endswith("/0007.jpg"):
        os._exit(1)
    return real(file, *more, **options)
io.open = builtins.open = die
"""


@ray_test
def test_an_image_that_kills_workers_is_found_and_left_out(home, tmp_path):
    with nodes(head=0) as cluster:
        node_with(cluster, tmp_path / "deadly", "one", sitecustomize=DEADLY)
        done = index(home, "deadly", cluster.address)
        assert done.code == 0, done.err
        assert {one["id"]: one["reason"] for one in done.json["skipped"]}["0007.jpg"].endswith("process dies of it")
        assert done.json["items"] == IMAGES - 3


# Labelling.


@ray_test
def test_a_vision_language_model_answers_on_all_nodes_and_a_node_that_dies_loses_no_answer(tmp_path, catalog, cluster):
    vlm_models.qwen2_vl(tmp_path / "vlm")
    (tmp_path / "queries.txt").write_text("something red\nsomething blue\na lamp\na mug\n")
    command = ["label", "catalog", "--teacher", "vlm", "--queries", "queries.txt", "--budget", "120", "--pool", "8",
               "--images-per-call", "3", "--paraphrases", "0", "--ask", "best", "--json"]  # fmt: skip

    def label(workspace, *more):
        return subprocess.Popen(
            [sys.executable, "-m", "vdistill", *command, "--workspace", workspace, *more], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **SETTINGS},
        )  # fmt: skip

    def judgments(workspace):
        path = tmp_path / workspace / "vdistill.db"
        if not path.exists():
            return {}
        connection = sqlite3.connect(path)
        try:
            found = connection.execute("SELECT query, items, probabilities FROM judgments")
            return {row[:2]: json.loads(row[2]) for row in found}
        except sqlite3.OperationalError:  # there is no table yet
            return {}
        finally:
            connection.close()

    alone = finish(label("alone"))
    assert alone.code == 0, alone.err
    process = label("cluster", "--engine", cluster.address)
    while process.poll() is None and len(judgments("cluster")) < 20:
        time.sleep(0.05)
    cluster.kill("two")
    done = finish(process)
    cluster.start("two")
    assert done.code == 0, done.err
    assert (done.json["judgments"], done.json["failed"]) == (alone.json["judgments"], 0)
    assert done.json["calls"] == alone.json["calls"]
    process = label("killed", "--engine", cluster.address)
    while process.poll() is None and len(judgments("killed")) < 20:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = judgments("killed")
    assert 20 <= len(kept) < alone.json["judgments"]
    done = finish(label("killed", "--engine", cluster.address))
    assert done.code == 0, done.err
    assert done.json["calls"] == alone.json["calls"] - len(kept), "asked twice, or lost"
    assert judgments("killed").items() >= kept.items()
    found, wanted = judgments("cluster"), judgments("alone")
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key], abs=0.02) for key in wanted), "bf16, in other batches"
