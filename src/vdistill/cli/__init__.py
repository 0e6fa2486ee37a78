"""The command line: thin files that read flags, call a stage and print what it returns."""

from __future__ import annotations


def main() -> int:
    """Run `vdistill` and return its exit code."""
    try:
        from vdistill.cli.app import run
    except KeyboardInterrupt:  # Ctrl-C before there is anything to put away
        return 130
    return run()
