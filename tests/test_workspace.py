"""Files are published whole or not at all."""

import os
import subprocess
import sys
import textwrap

import pytest

from vdistill import workspace
from vdistill.cli import config
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace, replacing_folder, write_file


def test_the_nearest_workspace_above_is_found(tmp_path):
    made = workspace.create(tmp_path / ".vdistill")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert workspace.find(deep) == made


def test_a_file_is_replaced_whole(tmp_path):
    write_file(tmp_path / "f", "old")
    with pytest.raises(RuntimeError), workspace.replacing(tmp_path / "f") as aside:
        aside.write_text("half of the ne")
        raise RuntimeError
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_is_replaced_whole(tmp_path):
    student = Workspace(tmp_path).student
    with replacing_folder(student) as aside:
        (aside / "x").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(student) as aside:
        (aside / "x").write_text("ne")
        raise RuntimeError
    assert (student / "x").read_text() == "old"
    with replacing_folder(student) as aside:
        (aside / "x").write_text("new")
    assert (student / "x").read_text() == "new"
    assert os.listdir(tmp_path) == ["student"]


def test_a_crash_between_the_two_renames_is_repaired(tmp_path):
    made = workspace.create(tmp_path / ".vdistill")
    with replacing_folder(made.student) as aside:
        (aside / "x").write_text("precious")
    made.student.rename(made.root / ".student.old")  # what a crash leaves
    found = workspace.find(tmp_path)
    assert found is not None
    assert (found.student / "x").read_text() == "precious"


def test_a_second_writer_is_turned_away_and_a_dead_one_does_not_block(tmp_path):
    made = workspace.create(tmp_path / ".vdistill")
    code = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from vdistill.workspace import Workspace
        with Workspace(Path(sys.argv[1])).lock("index"):
            print("held", flush=True)
            sys.stdin.read()
    """)
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(made.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(VdistillError, match="another `vdistill index`"), made.lock("index"):
            pass
        holder.kill()
    with made.lock("index"):
        pass


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VdistillError, match="cannot write"):
        write_file(tmp_path / "file" / "below", "x")
    with pytest.raises(VdistillError, match="cannot write"):
        workspace.create(tmp_path / "file" / ".vdistill")


PATH, EITHER, TEACHER = config.Meaning.PATH, config.Meaning.PATH_OR_NAME, config.Meaning.TEACHER
FLAGS = {
    "label": {"catalog": PATH, "teacher": TEACHER, "budget": None},
    "distill": {"backbone": EITHER, "rank": None},
}


def test_the_config_gives_defaults_by_command_with_paths_relative_to_it(tmp_path):
    (tmp_path / "backbone").mkdir()
    path = tmp_path / "vdistill.toml"
    path.write_text('backbone = "backbone"\n[label]\ncatalog = "pics"\nteacher = "table:t.csv"\nbudget = 7\n')
    assert config.defaults(path, FLAGS) == {
        "label": {"catalog": str(tmp_path / "pics"), "teacher": f"table:{tmp_path}/t.csv", "budget": 7},
        "distill": {"backbone": str(tmp_path / "backbone")},
    }


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[lable]\nbudget = 1\n", "unknown command 'lable'", "label"),
        ("[label]\nbudgte = 1\n", "unknown setting of \\[label\\] 'budgte'", "budget"),
        ("ranks = 1\n", "unknown setting 'ranks'", "rank"),
        ("[label\n", "cannot read", "fix"),
    ],
)
def test_a_mistake_in_the_config_is_named_with_the_close_match(tmp_path, text, message, hint):
    (tmp_path / "vdistill.toml").write_text(text)
    with pytest.raises(VdistillError, match=message) as caught:
        config.defaults(tmp_path / "vdistill.toml", FLAGS)
    assert hint in caught.value.hint
