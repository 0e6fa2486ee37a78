"""What people do wrong: one clear line, one hint, and nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from command_line import errors, vdistill, vdistill_process, write_scores
from vdistill.database import Database

LABEL = ["--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4, "--holdout", 0.4]

# File permissions bind root too once it has given up the right to override them.
_SETPRIV = shutil.which("setpriv")
_DROPPED = "-dac_override,-dac_read_search"
UNPRIVILEGED = (
    () if os.geteuid() else (_SETPRIV, "--bounding-set", _DROPPED, "--inh-caps", _DROPPED) if _SETPRIV else None
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, drawn_catalog, vision_text_folder):
    home = tmp_path_factory.mktemp("labelled")
    shutil.copytree(drawn_catalog, home / "catalog")
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    assert vdistill("label", "catalog", *LABEL, "--backbone", vision_text_folder, cwd=home).code == 0
    assert vdistill("index", cwd=home).code == 0
    return home


@pytest.fixture
def home(labelled, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(labelled, tmp_path / "home")
    return tmp_path / "home"


def failed(*arguments, cwd, **more):
    done = vdistill(*arguments, cwd=cwd, **more)
    assert done.code == 1, (done.out, done.err)
    return errors(done)


@pytest.mark.parametrize("command", ["label", "index"])
def test_a_missing_catalog(tmp_path, command):
    (tmp_path / "catalog").mkdir()
    error, hint = failed(command, "catalogue", cwd=tmp_path)
    assert "no catalog folder" in error
    assert "catalog?" in hint
    assert not (tmp_path / ".vdistill").exists()


@pytest.mark.parametrize("command", ["label", "index"])
def test_an_empty_catalog(tmp_path, command):
    (tmp_path / "catalog").mkdir()
    assert "no images" in failed(command, "catalog", cwd=tmp_path)[0]


def test_no_catalog_at_all(tmp_path):
    assert "no catalog given" in failed("label", cwd=tmp_path)[0]


def test_a_catalog_of_broken_images_only(tmp_path, vision_text_folder):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "a.jpg").write_bytes(b"")
    (tmp_path / "catalog" / "b.png").write_bytes(b"not a picture")
    error, hint = failed("index", "catalog", "--backbone", vision_text_folder, cwd=tmp_path)
    assert "none of" in error or "no picture" in error
    assert hint


def test_distill_before_label(tmp_path):
    assert "no workspace" in failed("distill", cwd=tmp_path)[0]


def test_distill_with_an_index_but_no_judgments(tmp_path, drawn_catalog, vision_text_folder):
    assert vdistill("index", drawn_catalog, "--backbone", vision_text_folder, cwd=tmp_path).code == 0
    error, hint = failed("distill", cwd=tmp_path)
    assert "no judgments" in error
    assert "vdistill label" in hint


@pytest.mark.parametrize("command", [["query", "x"], ["bench"]])
def test_asking_before_anything(tmp_path, command):
    error, hint = failed(*command, cwd=tmp_path)
    assert "no workspace" in error
    assert "vdistill label" in hint


def test_bench_before_label(tmp_path, drawn_catalog, vision_text_folder):
    assert vdistill("index", drawn_catalog, "--backbone", vision_text_folder, cwd=tmp_path).code == 0
    assert "held-out" in failed("bench", cwd=tmp_path)[0]


def test_an_unknown_teacher_names_the_close_ones(home):
    error, hint = failed("label", "catalog", "--teacher", "qwen2vl", cwd=home)
    assert "unknown teacher 'qwen2vl'" in error
    assert "qwen2-vl" in hint


def test_a_teacher_that_cannot_be_downloaded_says_what_to_do_offline(home):
    error, hint = failed("label", "catalog", "--teacher", "qwen2-vl", cwd=home)
    assert "Qwen/Qwen2-VL-2B-Instruct" in error
    assert "hf download" in hint


def test_a_backbone_that_cannot_be_downloaded_names_the_close_ones_and_what_to_do_offline(home):
    error, hint = failed("distill", "--backbone", "openai/clip-vit-base-patch23", cwd=home)
    assert "openai/clip-vit-base-patch23" in error
    assert "did you mean openai/clip-vit-base-patch32" in hint
    assert "hf download" in hint


def test_a_backbone_that_is_not_a_dual_encoder(home, vision_text_folder, tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    shutil.copytree(vision_text_folder, tmp_path / "tower")
    tower = CLIPVisionModel(CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                             num_attention_heads=1, image_size=32, patch_size=16))  # fmt: skip
    (tmp_path / "tower" / "model.safetensors").unlink()
    tower.save_pretrained(tmp_path / "tower")
    assert "dual encoder" in failed("distill", "--backbone", tmp_path / "tower", cwd=home)[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "x", "-k", "0"],
        ["query"],
        ["query", "x", "--image", "y.png"],
        ["query", "x", "--model", "teacher"],
        ["label", "catalog", "--images-per-call", "1"],
        ["label", "catalog", "--budget", "0"],
        ["label", "catalog", "--ask", "nicely"],
        ["distill", "--loss", "hinge"],
        ["index", "--dtype", "f8"],
        ["bench", "--fail-under", "ndcg@10"],
        ["bench", "--fail-under", "ncdg@10=0.5"],
        ["bogus"],
        ["query", "x", "--bogus"],
        [],
    ],
)
def test_wrong_usage_is_exit_code_two(home, arguments):
    done = vdistill(*arguments, cwd=home)
    assert (done.code, done.out) == (2, "")
    assert done.err.strip()


def test_more_results_than_items_gives_all_and_says_so(home):
    done = vdistill("query", "x", "-k", 100, "--json", cwd=home)
    assert len(done.json["results"]) == 24
    assert "only 24" in done.err


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_query(home, text):
    assert "empty" in failed("query", text, cwd=home)[0]


@pytest.mark.parametrize("text", ["🌷🪴", "هدية لأمي", "x" * 10_000, "red\nmug", "'; DROP TABLE items; --"])
def test_strange_queries_are_answered(home, text):
    done = vdistill("query", text, "-k", 2, "--json", cwd=home)
    assert done.code == 0
    assert len(done.json["results"]) == 2


def test_a_long_query_is_answered_with_a_warning(home):
    assert "longer than the model reads" in vdistill("query", "mug " * 700, cwd=home).err


@pytest.mark.parametrize("name", ["vectors-backbone", "items-backbone", "manifest", "text_encoder"])
@pytest.mark.parametrize("damage", ["truncated", "garbled", "gone"])
def test_a_damaged_index_says_how_to_repair_it_and_is_repaired(home, name, damage):
    folder = home / ".vdistill" / "index"
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file() and name in str(path.relative_to(folder)))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\xff" * len(content))
    done = vdistill("query", "red", "-k", 1, cwd=home)
    if name == "manifest" and damage == "gone":
        assert done.code == 0, "a missing index is built"
        return
    error, hint = errors(done)
    assert "damaged" in error or "missing" in error
    assert "vdistill index" in hint
    assert vdistill("index", cwd=home).code == 0
    assert vdistill("query", "red", "-k", 1, cwd=home).code == 0


def test_a_damaged_database_stops_label_and_loses_no_index(home):
    (home / ".vdistill" / "vdistill.db").write_bytes(b"garbage" * 1000)
    for leftover in (home / ".vdistill").glob("vdistill.db-*"):
        leftover.unlink()
    error, hint = failed("label", "catalog", *LABEL, cwd=home)
    assert "damaged" in error
    assert "recover" in hint


def test_a_damaged_student_says_how_to_repair_it(home):
    assert vdistill("distill", "--epochs", 1, "--rank", 2, "--lr", 0.001, cwd=home).code == 0
    weights = home / ".vdistill" / "student" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    error, hint = failed("index", cwd=home)
    assert "student is damaged" in error
    assert "vdistill distill" in hint


def test_a_student_of_another_holdout_cannot_be_made(home):
    error, hint = failed("label", "catalog", *LABEL[:-1], 0.1, cwd=home)
    assert "--holdout 0.4" in error
    assert "--workspace" in hint


@pytest.fixture
def read_only(home):
    """The labelled shop in a workspace that nobody may write to, and the prefix that makes root nobody here."""
    for path in (home / ".vdistill", *(home / ".vdistill").rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)
    yield home, UNPRIVILEGED
    for path in (home / ".vdistill", *(home / ".vdistill").rglob("*")):
        path.chmod(0o700)


@pytest.mark.skipif(UNPRIVILEGED is None, reason="root may write anywhere, and there is no setpriv to take that away")
@pytest.mark.parametrize("command", [["label", "catalog", *LABEL, "--seed", 3], ["index", "catalog"], ["distill"]])
def test_a_read_only_workspace_is_refused_by_what_writes(read_only, command):
    home, prefix = read_only
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    done = vdistill_process(*command, cwd=home, prefix=prefix)
    error, hint = errors(done)
    assert done.code == 1
    assert "cannot" in error or "read-only" in error
    assert hint
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(UNPRIVILEGED is None, reason="root may write anywhere, and there is no setpriv to take that away")
def test_a_read_only_workspace_can_be_searched(read_only):
    home, prefix = read_only
    done = vdistill_process("query", "something red", "--model", "backbone", "--json", cwd=home, prefix=prefix)
    assert done.code == 0, done.err
    assert done.json["results"]


def test_a_workspace_that_cannot_be_made(tmp_path, drawn_catalog):
    (tmp_path / "file").write_text("")
    error, _ = failed("index", drawn_catalog, "--workspace", tmp_path / "file" / "ws", cwd=tmp_path)
    assert "cannot write" in error


def test_a_gallery_that_cannot_be_written(home):
    assert "cannot write" in failed("query", "red", "--gallery", home / "queries.txt" / "page.html", cwd=home)[0]


def test_images_of_every_kind_are_indexed_or_skipped_by_name(home):
    catalog = home / "catalog"
    Image.new("CMYK", (30, 30)).save(catalog / "cmyk.jpg")
    Image.new("I;16", (30, 30)).save(catalog / "deep.png")
    Image.new("P", (30, 30)).save(catalog / "anim.gif", save_all=True, append_images=[Image.new("P", (30, 30), 1)])
    rotated = Image.Exif()
    rotated[0x0112] = 6
    Image.new("RGB", (30, 50)).save(catalog / "rotated.jpg", exif=rotated)
    Image.new("RGB", (30, 30)).save(catalog / "x.png")
    (catalog / "x.png").rename(catalog / "misnamed.jpg")
    (catalog / "empty.jpg").write_bytes(b"")
    whole = (catalog / "cmyk.jpg").read_bytes()
    (catalog / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (catalog / "text.png").write_text("no picture")
    huge = bytearray(Image.new("1", (1, 1)).tobytes())
    (catalog / "huge.bmp").write_bytes(_bmp_header(60_000, 60_000) + huge)
    report = vdistill("index", "catalog", "--json", cwd=home)
    assert report.code == 0
    assert report.json["added"] == 5
    skipped = {one["id"]: one["reason"] for one in report.json["skipped"]}
    assert set(skipped) == {"empty.jpg", "truncated.jpg", "text.png", "huge.bmp"}
    assert all(skipped.values())
    assert "empty.jpg" in report.err


def _bmp_header(width, height):
    import struct

    return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 58, 0, 0, 54, 40, width, height, 1, 24, 0, 4, 0, 0, 0, 0)


def test_judgments_on_images_that_are_gone_are_left_out(home):
    catalog = home / "catalog"
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        used = {item for judgment in database.judgments("train") for item in judgment.items}
        database.remember("catalog", str(catalog))
    (catalog / sorted(used)[0]).unlink()
    done = vdistill("distill", "--epochs", 1, "--rank", 2, "--lr", 0.001, cwd=home)
    assert done.code == 0
    assert "left out" in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "delay"),
    [*((["distill", "--epochs", "400", "--rank", "2"], delay) for delay in (0.1, 4)),
     *((["index", "--model", "backbone"], delay) for delay in (0.1, 0.3, 2.5))],
)  # fmt: skip
def test_ctrl_c_at_any_moment_keeps_what_was_there(home, step, delay):
    program = "import sys; from vdistill.cli import main; print('begun', flush=True); sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", program, *step], cwd=home, stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout.readline() == "begun\n", "before `main` the interpreter itself is interrupted"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # A machine may be quick enough to have ended before any delay but the first; while Python itself ends, a signal
    # does what it does to any program.
    assert process.returncode in ((130, 0, -signal.SIGINT) if delay > 0.1 else (130,)), err
    assert "Traceback" not in err, err
    assert not list((home / ".vdistill").glob("*.part"))
    assert vdistill("query", "red", "-k", 1, cwd=home).code == 0


def test_debug_shows_the_traceback(tmp_path):
    done = vdistill("query", "x", "--debug", cwd=tmp_path)
    assert done.code == 1
    assert "Traceback" in done.err
