"""Write docs/cli.md from the commands themselves; a test checks that it is up to date."""

from pathlib import Path

from vdistill.cli.reference import render

if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(render(), encoding="utf-8")
