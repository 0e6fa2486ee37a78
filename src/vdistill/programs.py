"""Python programs that commands run beside themselves."""

from __future__ import annotations

import os
import sys


def program(statement: str, *arguments: str) -> list[str]:
    """The command that runs a statement in a Python like this one; with `environment()`."""
    return [sys.executable, "-c", statement, *arguments]


def environment() -> dict[str, str]:
    """The environment of such a program: that of this one.

    But its modules come from where they are installed, never from the current folder, which may hold a `json.py` of
    anybody's (from Python 3.11 on; 3.10 cannot be told so).
    """
    return {**os.environ, "PYTHONSAFEPATH": "1"}
