"""The command line: thin files that read flags, call a stage and print what it returns."""

from __future__ import annotations

import gc
import sys

from vdistill.cli.interrupts import none_lost

# New objects until Python looks for cycles, which it would do after 700: it walks over all that lives, a million items
# perhaps, of which hardly any is in a cycle. That is a fifth of what a large catalog takes (`distill_scale.py`).
COLLECTED_AFTER = 100_000


def main(arguments: list[str] | None = None) -> int:
    """Run `vdistill`, with the arguments of this process where none are given, and return its exit code."""
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
    try:
        with none_lost():  # an import that Ctrl-C breaks off may raise anything
            from vdistill.cli import app

            return app.exit_code(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # before a command has begun, or after it has ended
        return 130
