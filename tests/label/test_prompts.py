"""The wording can be another one, and answers to it are other answers."""

import pytest

from command_line import errors, vdistill
from vdistill.errors import VdistillError
from vdistill.label.prompts import PROMPT_VERSION, Wording, read_wording


def test_the_built_in_wording_has_the_version():
    assert Wording().version == PROMPT_VERSION


def test_a_file_changes_what_it_names_and_the_version(tmp_path):
    path = tmp_path / "prompt.toml"
    path.write_text('best = "Which one? A letter."\ncustomer = "Wanted: {query}"\n')
    wording = read_wording(path)
    assert wording.system == Wording().system
    assert wording.content("a {lamp}", ["x", "y"], "best")[-1] == ("text", "Wanted: a {lamp}\nWhich one? A letter.")
    assert wording.version.startswith(f"{PROMPT_VERSION}+")
    path.write_text('best = "Which one?"\ncustomer = "Wanted: {query}"\n')
    assert read_wording(path).version != wording.version


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("best = ", "cannot read"),
        ('bst = "x"', "unknown part of a prompt 'bst'"),
        ("best = 3", "best must be text"),
        ('customer = "hello"', "customer does not say where the query goes"),
        ('shoppers = "hello"', "shoppers does not say how many"),
        ('version = "9"', "unknown part of a prompt 'version'"),
    ],
)
def test_a_bad_file_is_an_error(tmp_path, content, reason):
    (tmp_path / "prompt.toml").write_text(content)
    with pytest.raises(VdistillError, match=reason):
        read_wording(tmp_path / "prompt.toml")


def test_a_missing_file_is_an_error(tmp_path, catalog):
    done = vdistill("label", "catalog", "--teacher", "metadata", "--prompt", "no.toml", cwd=tmp_path)
    error, hint = errors(done)
    assert "cannot read no.toml" in error
    assert "a prompt is a TOML file" in hint
