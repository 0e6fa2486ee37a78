"""Training on two nodes: processes in two folders, of which one alone has the judgments, end where one process ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from trainings import TRAIN, facts
from vdistill.distill import watch
from vdistill.workspace import FOLDER

pytestmark = pytest.mark.slow
LINES = ("error: ", "hint: ")


class Nodes:
    """Two nodes on loopback, started by torchrun, each with a workspace and a copy of the catalog of its own."""

    def __init__(self, labelled, folder):
        self.homes = [folder / "first", folder / "second"]
        for home in self.homes:
            home.mkdir()
        shutil.copytree(labelled / FOLDER, self.homes[0] / FOLDER)
        self.copy = shutil.copytree(labelled / "catalog", self.homes[1] / "images")

    def start(self, *more, of_second=(), script=("-m", "vdistill")):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ours = [*TRAIN, *more]
        theirs = [*ours, "--node-catalog", self.copy, *of_second]
        return [
            subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank),
                 "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port), *script,
                 *map(str, arguments)],
                cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            )
            for rank, (home, arguments) in enumerate(zip(self.homes, (ours, theirs), strict=True))
        ]  # fmt: skip

    def run(self, *more, of_second=(), **how):
        """What both nodes say on stderr; they must succeed."""
        started = self.start(*more, of_second=of_second, **how)
        said = [process.communicate(timeout=300)[1] for process in started]
        assert [process.returncode for process in started] == [0, 0], "\n".join(said)
        return said

    def fail(self, *more, of_second=(), **how):
        """The `error:` and `hint:` lines of each node; they must fail."""
        return ended(self.start(*more, of_second=of_second, **how))


def ended(started):
    found = []
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode != 0
        lines = [line for line in said.splitlines() if line.startswith(LINES)]
        found.append(lines)
    return found


@pytest.fixture
def nodes(labelled, tmp_path):
    return Nodes(labelled, tmp_path)


@pytest.fixture
def alone(labelled, tmp_path):
    """Trains the same in one process; gives the weights."""

    def train(*more):
        home = tmp_path / "alone"
        shutil.copytree(labelled / FOLDER, home / FOLDER)
        command = [sys.executable, "-m", "vdistill", *map(str, [*TRAIN, *more])]
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
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
    import psutil

    for _ in range(patience * 20):
        found = [one for one in psutil.Process(launcher.pid).children(recursive=True) if "distill" in one.cmdline()]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError("torchrun started no process")


def test_two_nodes_with_frozen_layers_end_where_one_process_ends(nodes, alone):
    layers = ("--train-layers", 1)
    nodes.run(*layers)
    assert apart(alone(*layers), weights_of(nodes.homes[0])) < 1e-4
    assert not (nodes.homes[1] / FOLDER / "student").exists()
    caches = [sorted((home / FOLDER / "cache").glob("trunk/*/*.safetensors")) for home in nodes.homes]
    assert all(caches), "each keeps what its steps need"
    assert not list(nodes.homes[1].glob(f"{FOLDER}/cache/trunk/*/*.mark"))


def test_killed_and_resumed_they_end_where_one_process_ends(nodes, alone):
    checkpoint = nodes.homes[0] / FOLDER / "cache" / "checkpoint.safetensors"
    long = ("--epochs", 12, "--patience", 0)
    for victim in (1, 0):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        started = nodes.start(*long)
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert started[0].poll() is None, started[0].communicate()
            time.sleep(0.01)
        os.kill(worker_of(started[victim]).pid, signal.SIGKILL)
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
    for error, hint in nodes.fail(script=(str(script),)):
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
    started = nodes.start("--epochs", 200, "--patience", 0, script=(str(script),))
    while not checkpoint.exists():
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.01)
    frozen = worker_of(started[1])
    frozen.suspend()
    _, said = started[0].communicate(timeout=60)
    assert started[0].returncode != 0
    assert "nothing was heard of it for" in said
    frozen.kill()
    started[1].communicate(timeout=60)
