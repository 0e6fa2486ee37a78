"""The command line: thin files that read flags, call a stage and print what it returns."""

from __future__ import annotations

import sys

from vdistill.cli.interrupts import after_imports


def main(arguments: list[str] | None = None) -> int:
    """Run `vdistill`, with the arguments of this process where none are given, and return its exit code."""
    try:
        with after_imports():  # an import that Ctrl-C breaks off may raise anything
            from vdistill.cli import app

            return app.exit_code(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # before a command has begun, or after it has ended
        return 130
