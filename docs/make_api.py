"""Write docs/api.md from the docstrings; a test checks that it is up to date."""

from pathlib import Path

from vdistill.api_reference import render

if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(render(), encoding="utf-8")
