"""The installed package in an environment that has nothing else: `make wheel` runs this there, outside the sources.

It searches, trains and measures on the kept workspace of an earlier version, so each dependency is declared and each
file of data is in the wheel.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VDISTILL = Path(sys.executable).with_name("vdistill")
SHOP = sorted((Path(__file__).parent / "old_workspaces").glob("*.zip"))[-1]


def run(*arguments: str, cwd: Path) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run([VDISTILL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    shop = Path(folder)
    with zipfile.ZipFile(SHOP) as packed:
        packed.extractall(shop)
    print(run("--version", cwd=shop).strip())
    for command in ([], ["label"], ["distill"], ["index"], ["query"], ["serve"], ["bench"]):
        assert "Usage" in run(*command, "--help", cwd=shop)
    here = ["--backbone", str(shop / "backbone")]
    assert len(json.loads(run("query", "red mug", "-k", "3", "--json", cwd=shop))["results"]) == 3
    asked = [
        "label",
        "catalog",
        "--teacher",
        "table:scores.csv",
        "--queries",
        "queries.txt",
        "--budget",
        "10",
        "--json",
    ]
    assert json.loads(run(*asked, *here, cwd=shop))["items"] == 24
    run("distill", "--epochs", "1", "--rank", "2", "--fresh", "--keep-anyway", *here, cwd=shop)
    run("index", "catalog", *here, cwd=shop)
    run("query", "red mug", "--gallery", "page.html", cwd=shop)
    assert "<img" in (shop / "page.html").read_text(encoding="utf-8")
    assert json.loads(run("bench", "--json", "--report", "report.html", *here, cwd=shop))["models"]["student"]
    print(f"{VDISTILL} works")
