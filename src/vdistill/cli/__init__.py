"""The command line: thin files that read flags, call a stage and print what it returns."""

from __future__ import annotations


def main() -> int:
    """Run `vdistill` and return its exit code."""
    from vdistill.cli.app import run

    return run()
