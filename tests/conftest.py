"""What many tests start from: tiny models (made once a session) and a small catalog (a fresh copy each)."""

import contextlib
import dataclasses
import io
import os
import shutil
import signal
from pathlib import Path

import hypothesis
import pytest
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # no test downloads anything; read when the hub client is first imported

import models
from drawings import draw_catalog
from vdistill.cli import fresh, main
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.records import Question, ShownImage
from vdistill.workspace import create

# A shell ignores Ctrl-C for what it starts in the background, tests too, and they would pass that on.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast the machine is decides nothing: Hypothesis's 200 ms are too few on an old laptop, or beside other work.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def folder_of(make):
    @pytest.fixture(scope="session")
    def made(tmp_path_factory):
        return make(tmp_path_factory.mktemp(make.__name__))

    return made


clip_folder = folder_of(models.clip)
siglip_folder = folder_of(models.siglip)
siglip2_folder = folder_of(models.siglip2)
vision_text_folder = folder_of(models.vision_text)
chinese_clip_folder = folder_of(models.chinese_clip)
altclip_folder = folder_of(models.altclip)


@pytest.fixture(scope="session")
def clip_encoder(clip_folder):
    encoder = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    assert encoder.fingerprint
    return encoder


_in_another_process = fresh._in_another_process


@pytest.fixture(scope="session", autouse=True)
def indexed_in_this_process():
    """A command that finds no index, or a stale one, builds it here: another process would load torch for it."""

    def run(commands):
        with contextlib.redirect_stdout(io.StringIO()):
            return next((code for code in map(main, commands) if code), 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fresh, "_in_another_process", run)
        yield


@pytest.fixture
def indexed_in_another_process(monkeypatch):
    """As outside the tests."""
    monkeypatch.setattr(fresh, "_in_another_process", _in_another_process)


class Counting(DualEncoder):
    """A dual encoder that counts the pictures it is given."""

    seen = 0

    def encode_images(self, inputs):
        self.seen += len(next(iter(inputs.values())))
        return super().encode_images(inputs)


@pytest.fixture
def encoder(clip_encoder):
    counting = Counting(**{field.name: getattr(clip_encoder, field.name) for field in dataclasses.fields(clip_encoder)})
    vars(counting).update(vars(clip_encoder))  # with the fingerprints, which take a moment
    return counting


@pytest.fixture(scope="session")
def drawn_catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    draw_catalog(folder)
    return folder


@pytest.fixture
def catalog(drawn_catalog, tmp_path):
    """A folder of 24 pictures, `COLOUR_SHAPE.png`, with `metadata.jsonl`: a copy that a test may spoil."""
    return Path(shutil.copytree(drawn_catalog, tmp_path / "catalog"))


@pytest.fixture
def workspace(tmp_path):
    return create(tmp_path / ".vdistill")


@pytest.fixture
def question(tmp_path):
    """A teacher call of three images, one of them large and one tiny."""
    shown = []
    for number, size in enumerate([(60, 60), (2000, 500), (10, 10)]):
        Image.new("RGB", size, "red").save(tmp_path / f"{number}.png")
        shown.append(ShownImage(f"{number}.png", tmp_path / f"{number}.png", str(number)))
    return Question("a gift", tuple(shown))


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, clip_folder):
    """A shop of 120 images that a table teacher judged."""
    import trainings

    home = tmp_path_factory.mktemp("labelled")
    trainings.label_shop(home, clip_folder)
    return home


@pytest.fixture
def home(labelled, tmp_path):
    """A copy of the labelled workspace that a test may spoil; the catalog is where it was labelled."""
    shutil.copytree(labelled / ".vdistill", tmp_path / ".vdistill")
    return tmp_path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser; tests that open it are skipped where none is installed."""
    from browser import browser

    with browser(tmp_path_factory.mktemp("browser") / "profile") as found:
        yield found
