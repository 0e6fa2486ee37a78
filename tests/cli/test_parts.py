"""Where only `vdistill-core` is installed: what needs no torch works, and all else says what to install."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from served import unpack_shop
from vdistill.cli import parts

ABSENT = ("accelerate", "matplotlib", "onnx", "onnxscript", "peft", "pyarrow", "scipy", "torch", "transformers")
PROGRAM = """
import json, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None  # as if it were not installed
from vdistill.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def home(tmp_path):
    return unpack_shop(tmp_path)


def core(*arguments, cwd, absent=ABSENT):
    command = [sys.executable, "-c", PROGRAM, json.dumps(absent), *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_an_index_that_has_its_encoders_is_brought_up_to_date_without_torch(home):
    shutil.copy(home / "catalog" / "red_mug.png", home / "catalog" / "another.png")
    shutil.rmtree(home / "backbone")  # on the machine that serves there is no model
    done = core("index", "catalog", "--json", "--dtype", "f16", cwd=home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["added"], found["items"], found["dtype"]) == (1, 25, "f16")
    done = core("query", "--image", "catalog/another.png", "-k", "2", "--json", cwd=home)
    assert {one["id"] for one in json.loads(done.stdout)["results"]} == {"another.png", "red_mug.png"}


def test_a_teacher_elsewhere_is_asked_without_torch(home):
    shutil.rmtree(home / ".vdistill")
    done = core("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--budget", "20",
                "--images-per-call", "4", "--json", cwd=home, absent=("torch", "transformers"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["judgments"] > 10


@pytest.mark.parametrize(
    ("arguments", "absent", "lacks"),
    [
        (["distill"], ABSENT, "training needs torch"),
        (["index", "catalog", "--backbone", "backbone", "--model", "student", "--export", "x.parquet"], ABSENT,
         "Parquet needs pyarrow"),
        (["label", "catalog", "--teacher", "table:scores.csv"], ABSENT, "fitting judgments needs scipy"),
        (["label", "catalog", "--teacher", "qwen2-vl"], ("torch",), "a teacher in this process needs torch"),
        (["bench"], ABSENT, "fitting judgments needs scipy"),
        (["bench", "--report", "page.html"], ("matplotlib",), "a page with figures needs matplotlib"),
    ],
)  # fmt: skip
def test_a_command_that_lacks_a_part_says_what_to_install(home, arguments, absent, lacks):
    done = core(*arguments, cwd=home, absent=absent)
    assert done.returncode == 1
    error, hint = done.stderr.strip().splitlines()[-2:]
    assert "Traceback" not in done.stderr
    assert error == f"error: {lacks}"
    assert hint.startswith("hint: pip install vdistill")


def test_another_student_than_the_one_indexed_needs_torch(home):
    assert core("distill", "--strength", "0.5", cwd=home).returncode == 0
    done = core("index", "catalog", cwd=home)
    assert "needs torch" in done.stderr
    assert done.returncode == 1


def test_what_is_in_every_installation_is_no_part():
    assert parts.lacking("numpy", "query") is None
    assert parts.lacking("vdistill.nowhere", "query") is None
