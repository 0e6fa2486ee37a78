"""What the documents say is what the program does."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import make_api
import make_cli
from command_line import vdistill, vdistill_process
from drawings import draw_catalog
from vdistill.cli.app import program

ROOT = Path(__file__).parent.parent
EXAMPLES = [  # without what `make demo` left there, a model card in `.vdistill` among it
    page
    for page in (ROOT / "examples").rglob("*.md")
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *EXAMPLES])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_reference_of_the_command_line_is_up_to_date():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == make_cli.render(), "run `make docs`"


def test_the_reference_of_the_library_is_up_to_date():
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == make_api.render(), "run `make docs`"


def commands():
    """Every line of code that begins with the program, without its comment; `>` joins and pipes are cut off."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            code = re.match(r"(?:    |\t)*(?:- run: |\$ )?(vdistill (?:label|distill|index|query|bench)\b.*)", line)
            if code and page.name != "cli.md":
                words = shlex.split(code[1], comments=True)
                cut = next((n for n, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))
                yield pytest.param(words[1:cut], id=f"{page.stem}: {code[1][:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_in_the_documents_can_be_given(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = program()
    context = group.make_context("vdistill", [])
    name, command, rest = group.resolve_command(context, words)
    command.make_context(name, [word for word in rest if word not in ("…", "...")], parent=context)


def python_blocks():
    for page in PAGES:
        for language, code in FENCED.findall(page.read_text(encoding="utf-8")):
            if language == "python":
                yield pytest.param(code, id=f"{page.stem}: {code.strip().splitlines()[0]}")


@pytest.fixture(scope="module")
def place(tmp_path_factory, clip_folder):
    """A folder with the things that the documents speak of: `shop` with an index, `photo.jpg`."""

    place = tmp_path_factory.mktemp("place")
    (place / "shop" / "catalog").mkdir(parents=True)
    draw_catalog(place / "shop" / "catalog")
    Image.new("RGB", (50, 50), "green").save(place / "photo.jpg")
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", clip_folder, cwd=place / "shop")
    assert done.code == 0, done.err
    return place


@pytest.mark.parametrize("code", list(python_blocks()))
def test_python_in_the_documents_runs(code, place, monkeypatch):
    monkeypatch.chdir(place)
    exec(compile(code, "document", "exec"), {"__name__": "document"})


@pytest.mark.parametrize("script", sorted((ROOT / "examples").rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_can_be_read(script):
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_the_findings_of_an_audit_are_explained_under_the_names_that_it_prints():
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    table = page[page.index("| finding |") :].split("\n\n")[0]
    printed = (ROOT / "src" / "vdistill" / "cli" / "audit_table.py").read_text(encoding="utf-8")
    explained = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert len(explained) == 9
    assert [name for name in explained if f'"{name}"' not in printed] == []


def test_links_between_the_documents_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_files_that_newcomers_are_sent_to_exist(page):
    files = [str(path.relative_to(ROOT)) for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.py")]
    for named in re.findall(r"`([\w/.]+\.py)`", (ROOT / page).read_text(encoding="utf-8")):
        assert any(file.endswith(f"/{named}") or file == named for file in files), f"{page}: {named}"


def test_the_names_that_newcomers_are_sent_to_exist():
    modules = {path.stem: path for path in (ROOT / "src" / "vdistill").rglob("*.py")}
    named = re.findall(r"`(\w+)\.(\w+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    named = [(module, name) for module, name in named if module in modules and name != "py"]
    assert len(named) >= 3
    for module, name in named:
        assert re.search(rf"^(def |class )?{name}\b", modules[module].read_text(encoding="utf-8"), re.MULTILINE), name


def test_the_site_builds_without_a_link_or_an_anchor_that_leads_nowhere(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(tmp_path / "docs")}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "<math" in (tmp_path / "build" / "site" / "how_it_works.html").read_text(encoding="utf-8")


def test_every_page_of_the_documents_is_found_from_the_first():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}


def test_the_help_of_distill_fits_one_screen_and_the_reference_has_the_rest(tmp_path):
    shown = vdistill_process("distill", "--help", cwd=tmp_path)
    assert len(shown.out.splitlines()) <= 40
    assert "--lr" in shown.out
    assert "--rslora" not in shown.out
    assert "--rslora" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
