"""A database that is only read, and what SQLite says of one that it cannot use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from vdistill.database.migrations import is_current
from vdistill.errors import VdistillError


def connect_to_read(path: Path) -> sqlite3.Connection | None:
    """A connection that writes nothing; None where the file first needs an upgrade, or is not there."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):  # the log of SQLite cannot be opened in a read-only folder
        connection = None
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=30)
            if is_current(connection):
                return connection
        except sqlite3.Error:
            pass  # the next way, and in the end the error of the usual one
        if connection is not None:
            connection.close()
        if os.access(path.parent, os.W_OK):
            return None
    return None


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite raises, as VdistillError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise VdistillError(
            f"cannot use {path}: {error}",
            hint="check the permissions and the free space; judgments already stored are intact",
        ) from error
    except sqlite3.IntegrityError as error:
        raise VdistillError(
            f"cannot store this in {path}: {error}",
            hint="none of it was stored, and what was stored before is intact; please report how this happened",
        ) from error
    except sqlite3.DatabaseError as error:
        raise VdistillError(
            f"{path} is damaged: {error}",
            hint=f"keep a copy of it, then try `sqlite3 {path.name} .recover`; "
            "or move it away and label again (student and index are not affected)",
        ) from error
