"""Training on two nodes: processes in two folders, of which one alone has the judgments, end where one process ends."""

import json
import os
import shutil
import signal
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from forked import start_script, vdistill_forked
from trainings import TRAIN, facts
from vdistill.distill import watch
from vdistill.workspace import FOLDER

pytestmark = pytest.mark.slow
LINES = ("error: ", "hint: ")


@dataclass
class Node:
    """A started node; `said` is the file of what it writes."""

    process: Any
    said: Path

    def ended(self, seconds):
        """Its exit code and all that it said."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"it hangs: {self.said.read_text()}"
        return self.process.exitcode, self.said.read_text()


class Nodes:
    """Two nodes on loopback, each with a workspace and a copy of the catalog of its own."""

    def __init__(self, labelled, folder):
        self.homes = [folder / "first", folder / "second"]
        for home in self.homes:
            home.mkdir()
        shutil.copytree(labelled / FOLDER, self.homes[0] / FOLDER)
        self.copy = shutil.copytree(labelled / "catalog", self.homes[1] / "images")

    def start(self, *more, launcher=(), script="vdistill"):
        """Start `script` on both, by torchrun where that is the launcher, else with the variables that it would set."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        ours = [*TRAIN, *more]
        commands = [ours, [*ours, "--node-catalog", self.copy]]
        return [self._start(rank, port, command, launcher, script) for rank, command in enumerate(commands)]

    def _start(self, rank, port, command, launcher, script):
        home = self.homes[rank]
        told = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        if launcher:
            command = ["--nnodes", 2, "--node-rank", rank, "--nproc-per-node", 1, "--master-addr", "127.0.0.1",
                       "--master-port", port, "-m", script, *command]  # fmt: skip
            script = launcher
        else:
            told |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
                     "GROUP_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
        said = home / f"said-{uuid.uuid4().hex}"
        return Node(start_script(script, *command, cwd=home, streams=said, environment=told), said)

    def run(self, *more, **how):
        """They must succeed."""
        for node in self.start(*more, **how):
            code, said = node.ended(300)
            assert code == 0, said

    def fail(self, *more, **how):
        """The `error:` and `hint:` lines of each node; they must fail."""
        return ended(self.start(*more, **how))


def ended(started):
    found = []
    for node in started:
        code, said = node.ended(120)
        assert code != 0
        found.append([line for line in said.splitlines() if line.startswith(LINES)])
    return found


TORCHRUN = "torch.distributed.run"


@pytest.fixture
def nodes(labelled, tmp_path):
    return Nodes(labelled, tmp_path)


@pytest.fixture
def alone(labelled, tmp_path):
    """Trains the same in one process; gives the weights."""

    def train(*more):
        home = tmp_path / "alone"
        shutil.copytree(labelled / FOLDER, home / FOLDER)
        done = vdistill_forked(*TRAIN, *more, cwd=home)
        assert done.code == 0, done.err
        return weights_of(home)

    return train


def weights_of(home):
    return load_file(home / FOLDER / "student" / "adapter_model.safetensors")


def apart(one, two):
    """How far apart two adapters are, relative to the norm of the first."""
    moved = sum(((one[name] - tensor) ** 2).sum() for name, tensor in two.items()) ** 0.5
    return float(moved / sum((tensor**2).sum() for tensor in one.values()) ** 0.5)


def worker_of(launcher, patience=60):
    """The training process below torchrun."""
    for _ in range(patience * 20):
        found = [one for one in psutil.Process(launcher.pid).children(recursive=True) if "distill" in one.cmdline()]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError("torchrun started no process")


COUNTING = """
import sys
from vdistill.cli import main
from vdistill.distill import towers
fill = towers.fill

def counted(cache, compute, sha256, *more):
    def computed(places):
        with open("computed", "a") as file:
            file.writelines(f"{sha256[place]}\\n" for place in places)
        return compute(places)
    return fill(cache, computed, sha256, *more)

towers.fill = counted
sys.exit(main(sys.argv[1:]))
"""


def test_two_nodes_with_frozen_layers_compute_a_share_each_and_end_where_one_process_ends(nodes, alone, tmp_path):
    layers, script = ("--train-layers", 1), tmp_path / "counting.py"
    script.write_text(COUNTING)
    nodes.run(*layers, script=script)
    assert apart(alone(*layers), weights_of(nodes.homes[0])) < 1e-4
    assert not (nodes.homes[1] / FOLDER / "student").exists()
    everything, training = (sorted(cached_in(home)) for home in nodes.homes)
    assert set(training) < set(everything), "the second keeps what its steps need, the first held-out images too"
    computed = [(home / "computed").read_text().split() for home in nodes.homes]
    assert sorted(computed[0] + computed[1]) == everything, "each image is computed once, on one of them"
    assert len(computed[1]) == pytest.approx(len(training) / 2, abs=2), "a half each of those that both need"
    assert not list(nodes.homes[1].glob(f"{FOLDER}/cache/trunk/*/*.mark"))


def cached_in(home):
    """The hashes of the images in a cache of frozen layers."""
    for path in (home / FOLDER / "cache").glob("trunk/*/*.safetensors"):
        with safe_open(path, "pt") as file:
            yield from json.loads(file.metadata()["sha256"])


def test_killed_and_resumed_they_end_where_one_process_ends(nodes, alone):
    checkpoint = nodes.homes[0] / FOLDER / "cache" / "checkpoint.safetensors"
    long = ("--epochs", 12, "--patience", 0)
    for victim, launcher in ((1, TORCHRUN), (0, ())):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        started = nodes.start(*long, launcher=launcher)
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert started[0].process.is_alive(), started[0].said.read_text()
            time.sleep(0.01)
        process = started[victim].process
        os.kill((worker_of(process) if launcher else process).pid, signal.SIGKILL)
        other = ended(started)[1 - victim]
        assert len(other) == 2, "one line of what happened, one of what to do"
        assert "another process of this training stopped" in other[0]
        assert "goes on after the last finished epoch" in other[1]
    shutil.rmtree(nodes.homes[1] / FOLDER)
    nodes.run(*long)
    assert [row["epoch"] for row in facts(nodes.homes[0])["history"]][:2] == [1, 2]
    assert apart(alone(*long), weights_of(nodes.homes[0])) < 1e-4


def test_a_catalog_that_differs_is_refused_on_both_nodes(nodes):
    image = next(nodes.copy.glob("*.png"))
    image.write_bytes(image.read_bytes() + b"changed")
    for error, hint in nodes.fail():
        assert "training images are missing or different" in error
        assert image.name in error
        assert "--node-catalog" in hint
    assert not (nodes.homes[0] / FOLDER / "student").exists()


def test_a_failure_of_the_first_node_is_told_by_the_other(nodes):
    (nodes.homes[0] / FOLDER / "vdistill.db").unlink()
    (ours, _), (theirs, _) = nodes.fail()
    assert "there are no judgments yet" in ours
    assert "there are no judgments yet" in theirs


OTHER_VERSION = """
import sys
from vdistill.cli import main
from vdistill.distill import nodes, watch
watch.SILENT = 5.0
if "--node-catalog" in sys.argv:
    nodes.version = lambda name: "0.0.1" if name == "peft" else "{version}"
else:
    nodes.version = lambda name: "{version}"
sys.exit(main(sys.argv[1:]))
"""


def test_other_versions_are_refused_on_both_nodes(nodes, tmp_path):
    script = tmp_path / "other.py"
    script.write_text(OTHER_VERSION.replace("{version}", "1.0"))
    for error, hint in nodes.fail(script=script):
        assert "peft 1.0" in error
        assert "peft 0.0.1" in error
        assert "versions" in hint


IMPATIENT = """
import sys
from vdistill.cli import main
from vdistill.distill import watch
watch.SILENT = 4.0
sys.exit(main(sys.argv[1:]))
"""


def test_a_node_that_falls_silent_does_not_hang_the_other(nodes, tmp_path):
    script = tmp_path / "impatient.py"
    script.write_text(IMPATIENT)
    assert watch.SILENT > 30, "a busy machine is not taken for lost"
    checkpoint = nodes.homes[0] / FOLDER / "cache" / "checkpoint.safetensors"
    started = nodes.start("--epochs", 200, "--patience", 0, script=script)
    while not checkpoint.exists():
        assert started[0].process.is_alive(), started[0].said.read_text()
        time.sleep(0.01)
    frozen = psutil.Process(started[1].process.pid)
    frozen.suspend()
    code, said = started[0].ended(60)
    assert code != 0
    assert "nothing was heard of it for" in said
    frozen.kill()
    started[1].ended(60)
