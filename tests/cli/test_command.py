"""Where the value of an option comes from: typed, exported, written in `vdistill.toml`, or built in."""

import inspect
import re
import subprocess
import sys

import pytest

from command_line import errors, vdistill, write_scores
from vdistill.cli import values
from vdistill.cli.program import COMMANDS


def asked_in(tmp_path, *arguments, env=None):
    """The workspace that a command looked for."""
    error, _ = errors(vdistill(*arguments, cwd=tmp_path, env=env))
    return error.removeprefix("error: no workspace in ").split(":")[0]


@pytest.mark.parametrize(
    ("arguments", "env", "file", "found"),
    [
        (["query", "x", "-w", "after"], {}, "", "after"),
        (["-w", "before", "query", "x"], {}, "", "before"),
        (["-w", "before", "query", "x", "-w", "after"], {}, "", "after"),
        (["query", "x"], {"VDISTILL_WORKSPACE": "exported"}, 'workspace = "written"', "exported"),
        (["-w", "before", "query", "x"], {"VDISTILL_WORKSPACE": "exported"}, 'workspace = "written"', "before"),
        (["query", "x", "-w", "after"], {"VDISTILL_WORKSPACE": "exported"}, 'workspace = "written"', "after"),
    ],
)
def test_a_common_option_may_stand_on_either_side_of_the_command(tmp_path, arguments, env, file, found):
    (tmp_path / "vdistill.toml").write_text(file)
    assert asked_in(tmp_path, *arguments, env=env) == found


def test_a_common_option_may_stand_in_the_file(tmp_path):
    (tmp_path / "vdistill.toml").write_text('workspace = "written"')
    assert asked_in(tmp_path, "query", "x") == str(tmp_path / "written")


@pytest.mark.parametrize(
    ("arguments", "env"), [(["--quiet"], {}), (["-q"], {}), ([], {"VDISTILL_QUIET": "1"})], ids=["long", "short", "env"]
)
def test_quiet_leaves_out_the_notices(tmp_path, catalog, arguments, env):
    write_scores(tmp_path, [path.name for path in catalog.glob("*.png")])
    label = [
        "label",
        "catalog",
        "--teacher",
        "table:scores.csv",
        "--queries",
        "queries.txt",
        "--max-cost",
        1,
        "--dry-run",
    ]
    assert "--max-cost caps nothing" in vdistill(*label, cwd=tmp_path).err
    quiet = vdistill(*label, *arguments, cwd=tmp_path, env=env)
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False)])
def test_debug_may_be_exported(tmp_path, value, shown):
    done = vdistill("query", "x", cwd=tmp_path, env={"VDISTILL_DEBUG": value})
    assert (done.code, "Traceback" in done.err) == (1, shown)


def test_a_value_of_the_file_that_cannot_be_is_an_error_of_the_file(tmp_path):
    (tmp_path / "vdistill.toml").write_text("[query]\nk = 0\n")
    done = vdistill("query", "x", cwd=tmp_path)
    error, hint = errors(done)
    assert done.code == 1
    assert "vdistill.toml: k:" in error
    assert "--k" in hint
    assert vdistill("query", "x", "-k", 0, cwd=tmp_path).code == 2


def test_the_list_of_commands_says_what_each_command_says_of_itself(tmp_path):
    shown = vdistill("--help", cwd=tmp_path, env={"COLUMNS": "200"}).out
    for name, named in COMMANDS.items():
        assert inspect.getdoc(named.load()) == named.help
        assert re.search(rf"^ +{name} +{re.escape(named.help[:40])}", shown, re.MULTILINE)


HEAVY = ("numpy", "rich", "pydantic", "PIL", "torch", "vdistill.records")


@pytest.mark.parametrize("asked", [["--help"], ["--version"], ["distill", "--help"], ["query", "--help"]], ids=" ".join)
def test_help_imports_only_what_it_needs(asked):
    heavy = [name for name in HEAVY if not (name == "vdistill.records" and asked[0] == "query")]
    program = f"import sys; from vdistill.cli import main; code = main({asked!r}); "
    program += f"sys.exit(code or ' '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_groups_the_options_and_shows_their_defaults(tmp_path):
    shown = vdistill("query", "--help", cwd=tmp_path).out
    sections = dict(re.findall(r"^(\w+):\n((?:  .*\n)+)", shown + "\n", re.MULTILINE))
    assert list(sections) == ["Arguments", "Options", "Ranking", "Output"]
    assert "[default: 10; x>=1]" in sections["Options"]
    assert "--hybrid" in sections["Ranking"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_has_names_of_python_types(name, tmp_path):
    assert "list[" not in vdistill(name, "--help", cwd=tmp_path).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "ten"], "valid integer"),
        (["-k", "0"], "greater than or equal to 1"),
        (["--diverse", "2"], "less than or equal to 1"),
        (["--model", "teacher"], "'teacher' is not one of"),
        (["--min-score", "0.5.1"], "valid number"),
    ],
    ids=" ".join,
)
def test_a_value_that_cannot_be_is_explained(tmp_path, arguments, said):
    done = vdistill("query", "x", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert said in done.err


def test_values_are_checked_by_typer_where_its_inside_has_changed(tmp_path, monkeypatch):
    def renamed(parameter, value):
        raise AttributeError("type_descriptor")

    monkeypatch.setattr(values, "_value", renamed)
    (tmp_path / "vdistill.toml").write_text('workspace = "written"')
    assert asked_in(tmp_path, "query", "x", "-k", "3") == str(tmp_path / "written")
    assert vdistill("query", "x", "-k", "many", cwd=tmp_path).code == 2
