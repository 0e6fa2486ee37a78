"""A Ray cluster of several nodes on this machine: processes of their own on the loopback address, which may be killed.

As a program it starts nodes and ends them, as standard input says; a test has it as `nodes(head=1, one=1)`.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Loopback alone, no reports, no dashboard; a token that these processes know, and that is written nowhere.
SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "HF_HUB_OFFLINE": "1",
}
STORE = 100 * 2**20  # bytes of a node's object store


@dataclass
class Nodes:
    """Nodes by name; the first is the head."""

    process: subprocess.Popen
    address: str = ""
    client: str = ""

    def start(self, name, cpus=1, **more):
        """Start a node; it has joined when this returns.  more: of `Cluster.add_node`."""
        found = self._say(["start", name, {"num_cpus": cpus, **more}])
        self.address = self.address or found["address"]
        self.client = self.client or found["client"]

    def kill(self, name):
        """End a node as a machine ends that loses its power: all its processes at once."""
        self._say(["kill", name, {}])

    def _say(self, words):
        self.process.stdin.write(f"{json.dumps(words)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the cluster has ended")
        return json.loads(line)


@contextlib.contextmanager
def nodes(*, version="", **cpus):
    """A cluster of nodes with so many CPUs each, by name; the first is the head. version: of Ray, as it says."""
    folder = tempfile.mkdtemp(prefix="rn-", dir="/tmp")  # a short name: those of sockets have 107 bytes at most
    Path(folder, "ray").mkdir()  # where Ray notes the address, but for this one it would be in everybody's /tmp/ray
    with (
        Path(folder, "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, __file__, folder, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=log, env={**os.environ, **SETTINGS, "RAY_TMPDIR": folder}, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            cluster = Nodes(process)
            for name, count in cpus.items():
                cluster.start(name, count)
            yield cluster
        finally:
            process.stdin.close()
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def serve(folder, version):
    """Do what lines of standard input say, and answer each."""
    import ray
    from ray.cluster_utils import Cluster

    ray.__version__ = version or ray.__version__

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster, known = Cluster(), {}
    for line in sys.stdin:
        what, name, more = json.loads(line)
        if what == "start":
            first = {} if known else {"temp_dir": folder, "ray_client_server_port": port(), "include_dashboard": False}
            known[name] = cluster.add_node(object_store_memory=STORE, node_name=name, **first, **more)
            head = cluster.head_node
            found = {
                "address": head.gcs_address,
                "client": f"ray://127.0.0.1:{head._ray_params.ray_client_server_port}",
            }
        else:
            end(known.pop(name))
            found = {}
        answers.write(f"{json.dumps(found)}\n")
        answers.flush()
    for node in known.values():
        end(node)


def end(node):
    """Kill all processes of a node, and theirs."""
    import psutil

    started = [one.process.pid for kind in node.all_processes.values() for one in kind]
    family = []
    for pid in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)


def port():
    """One that is free."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    serve(*sys.argv[1:])
