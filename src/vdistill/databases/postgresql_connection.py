"""A connection to PostgreSQL that comes back after the server was away, and errors that say what helps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vdistill.databases.address import Address
from vdistill.databases.engine import ConnectionLostError, VersionGoneError
from vdistill.errors import VdistillError, first_line

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

# A host that falls silent is noticed within half a minute, not after two hours.
_DEFAULTS = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000, "fallback_application_name": "vdistill",
}  # fmt: skip
_PAUSE = 0.5  # seconds between two attempts to connect again


class Connection:
    """Runs work on a connection, and again on a new one where the server went away.

    patience: for how many seconds it tries to connect again.  prepare: called with each new connection.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.patience = 10.0
        self.prepare: Callable[[psycopg.Connection[Any]], None] = lambda connection: None
        self._for_writing = False
        self._open: psycopg.Connection[Any] | None = None

    def for_writing(self, patience: float, prepare: Callable[[psycopg.Connection[Any]], None]) -> None:
        """From now on connect only where writing is possible: of several hosts, to the primary."""
        self.close()
        self._for_writing, self.patience, self.prepare = True, patience, prepare

    def run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What `work` returns, in one transaction; called again where the connection is lost meanwhile."""
        give_up, lost = None, False
        while True:
            try:
                return self._once(work, lost)
            except ConnectionLostError:
                give_up, lost = give_up or time.monotonic() + self.patience, True
                self.close()
                if time.monotonic() >= give_up:
                    raise
                time.sleep(_PAUSE)

    def close(self) -> None:
        """Close it; the next `run` opens another."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _once(self, work: Callable[[psycopg.Connection[Any]], T], lost: bool) -> T:
        import psycopg

        if self._open is None:
            self._open = self._connect(lost)
        try:
            with self._open.transaction():
                return work(self._open)
        except psycopg.Error as error:
            raise self._explained(error) from error

    def _connect(self, lost: bool) -> psycopg.Connection[Any]:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            settings = conninfo_to_dict(self.address.location)
        except psycopg.Error:  # its message quotes the address
            raise VdistillError("the address of the database cannot be read",
                                hint="check its options: postgresql://USER@HOST:PORT/DATABASE?sslmode=require"
                                ) from None  # fmt: skip
        if self._for_writing:
            settings.setdefault("target_session_attrs", "read-write")
        try:
            connection = psycopg.connect(**{**_DEFAULTS, **settings}, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise self._refused(error, lost) from None
        try:
            self.prepare(connection)
        except psycopg.Error as error:
            raise self._explained(error) from error
        except VdistillError:
            connection.close()
            raise
        return connection

    def _refused(self, error: Exception, lost: bool) -> VdistillError:
        """Why no connection was made."""
        text = self.address.redacted(str(error))
        where = f"PostgreSQL at {self.address.shown}"
        for sign, message, hint in _REFUSALS:
            if sign in text:
                refusal = VdistillError(f"{where}: {message}", hint=hint)
                return ConnectionLostError(refusal.message, hint) if lost and sign in _PASSING else refusal
        kind = ConnectionLostError if lost else VdistillError
        return kind(f"{where} cannot be reached: {_reason(text)}",
                    hint="check host and port, and that the server runs")  # fmt: skip

    def _explained(self, error: psycopg.Error) -> VdistillError:
        """A failed statement, in our words where the cause is known."""
        from psycopg import errors

        where, reason = f"PostgreSQL at {self.address.shown}", self.address.redacted(first_line(error))
        if isinstance(error, errors.UndefinedTable):
            return VersionGoneError(f"{where}: {reason}", hint="run `vdistill index --to` again")
        away = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.SerializationFailure,
                errors.DeadlockDetected)  # fmt: skip
        broken = self._open is not None and self._open.closed and isinstance(error, _lost())
        if broken or isinstance(error, away):
            return ConnectionLostError(f"the connection to {where} was lost: {reason}", hint="try again")
        known = next((hint for kind, hint in _hints().items() if isinstance(error, kind)), None)
        if "shared memory" in reason:  # a container has 64 MB of it
            known = "give the server more of it (docker run --shm-size=1g), or set max_parallel_maintenance_workers = 0"
        return VdistillError(f"{where}: {reason}", hint=known or "--debug shows the statement's error in full")


def _reason(text: str) -> str:
    """The last line that libpq says about each host, without its preamble."""
    lines = [line.strip("- \t") for line in text.splitlines() if line.strip()]
    parts = [line.rpartition("failed: ")[2] for line in lines if "failed: " in line] or lines[:1]
    return "; ".join(dict.fromkeys(parts))


_READ_ONLY = "a replica takes no changes: name the primary, or all hosts: postgresql://HOST1,HOST2/DATABASE"
_REFUSALS = (
    ("no password supplied", "it asks for a password, and none was given",
     "set PGPASSWORD, or add a line to ~/.pgpass"),
    ("password authentication failed", "the user or the password is wrong",
     "check the user in the address, and PGPASSWORD or ~/.pgpass"),
    ("no pg_hba.conf entry", "it does not let this user in from this machine",
     "ask whoever runs the server; perhaps ?sslmode=require is needed"),
    ("session is read-only", "it is read-only", _READ_ONLY),
    ("session is not read-only", "it is not read-only", "check target_session_attrs in the address"),
    ("server is in hot standby mode", "it is read-only", _READ_ONLY),
    ("too many clients", "it has no connection to spare", "try again later"),
    ("the database system is", "it is starting up or shutting down", "try again in a moment"),
    ("role ", "there is no such user, or it may not log in", "check the user in the address, or PGUSER"),
    ("does not exist", "there is no such database", "check the name at the end of the address, or create it"),
)  # fmt: skip
_PASSING = frozenset({"session is read-only", "too many clients", "the database system is",
                      "server is in hot standby mode"})  # fmt: skip


def _lost() -> tuple[type[Exception], ...]:
    import psycopg

    return (psycopg.OperationalError, psycopg.InterfaceError)


def _hints() -> dict[type[Exception], str]:
    from psycopg import errors

    return {
        errors.InsufficientPrivilege: "let the user create tables there: GRANT CREATE, USAGE ON SCHEMA … TO …",
        errors.ReadOnlySqlTransaction: _READ_ONLY,
        errors.DiskFull: "free some space there; what was stored stays, and the same command continues",
        errors.DependentObjectsStillExist: "drop what was built upon the view, or let it read the tables",
        errors.QueryCanceled: "raise statement_timeout for this user",
        errors.ProgramLimitExceeded: "an id or a text is too long for PostgreSQL",
    }
