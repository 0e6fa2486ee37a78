"""What `--engine` says: a cluster of this machine, or the address of one."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
from dataclasses import dataclass

from vdistill.errors import VdistillError

CLIENT = "ray://"
KINDS = "ray (all cores of this machine), HOST:PORT of a Ray cluster that this machine is a node of, or ray://HOST:PORT"
SECONDS = 10.0  # until an address has to answer

# How a client of HTTP/2, and so of gRPC, begins; the server answers with its settings. Ray would try for minutes.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4  # in the fourth byte of an answer

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the work is done.  address: of a cluster, as Ray takes it; empty for one that is started here."""

    address: str = ""

    @classmethod
    def parse(cls, text: str) -> Engine:
        """`ray`, `HOST:PORT` or `ray://HOST:PORT`. Raises VdistillError for anything else."""
        if text == "ray":
            return cls()
        found = _ADDRESS.fullmatch(text.removeprefix(CLIENT))
        if found is None or not 0 < int(found["port"]) < 65536:
            raise VdistillError(f"--engine is {text!r}", hint=KINDS)
        return cls(text)

    @property
    def name(self) -> str:
        """In messages."""
        return f"the Ray cluster at {self.address}" if self.address else "the Ray cluster of this machine"

    def check(self) -> None:
        """Raise VdistillError where Ray is not installed, or nothing listens at the address."""
        if importlib.util.find_spec("ray") is None:
            raise VdistillError("--engine needs the package ray", hint="pip install 'vdistill[ray]'")
        if not self.address:
            return
        if self.address.startswith(CLIENT) and importlib.util.find_spec("grpc") is None:
            raise VdistillError("--engine ray://… needs the package grpcio", hint="pip install 'vdistill[ray]'")
        host, _, port = self.address.removeprefix(CLIENT).rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS) as connection:
                right = _speaks_grpc(connection)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise VdistillError(f"{self.name} does not answer: {reason.lower()}", hint=self.remedy) from error
        if not right:
            where = self.address.removeprefix(CLIENT)
            raise VdistillError(f"what answers at {where} is no Ray cluster", hint=self.remedy)

    def reached(self) -> bool:
        """Whether something listens at the address; a cluster of this machine lives as long as this process."""
        if not self.address:
            return True
        host, _, port = self.address.removeprefix(CLIENT).rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
        except OSError:
            return False
        return True

    @property
    def remedy(self) -> str:
        """What to check where the address is of no use."""
        if self.address.startswith(CLIENT):
            return "ray:// takes the port of Ray's client server: 10001, or what --ray-client-server-port said"
        return "on the cluster's first node `ray start --head` prints the address; its port is 6379 or what --port said"


def _speaks_grpc(connection: socket.socket) -> bool:
    if os.environ.get("RAY_USE_TLS", "0") == "1":  # it would have to be greeted with a certificate
        return True
    connection.sendall(_GREETING)
    answer = b""
    while len(answer) < 4 and (more := connection.recv(9)):
        answer += more
    return len(answer) >= 4 and answer[3] == _SETTINGS
