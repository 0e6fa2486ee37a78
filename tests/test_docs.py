"""What the documents say is what the program does."""

from pathlib import Path

from vdistill.cli.reference import render

ROOT = Path(__file__).parent.parent


def test_the_reference_of_the_command_line_is_up_to_date():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == render(), "run `make docs`"
