"""HEIC, as phones write it: read where the extra is installed, named with it where not."""

import sys

import pytest
from PIL import Image, ImageChops

from command_line import vdistill
from odd_images import DISPLAY_P3, profile, scene
from vdistill.errors import ImageError
from vdistill.images import load

pillow_heif = pytest.importorskip("pillow_heif")


def heic(path, image, **options):
    pillow_heif.from_pillow(image).save(path, quality=100, chroma=444, **options)
    return path


def far(image, other):
    return max(high for _, high in ImageChops.difference(image, other).getextrema())


def test_heic_is_read(tmp_path):
    assert far(load(heic(tmp_path / "IMG_1.HEIC", scene())), scene()) < 12


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(tmp_path, orientation):
    T = Image.Transpose
    back = {1: None, 3: T.ROTATE_180, 6: T.ROTATE_90, 8: T.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    as_stored = scene() if back is None else scene().transpose(back)
    path = heic(tmp_path / "a.heic", as_stored, exif=exif.tobytes())
    image = load(path)
    assert image.size == scene().size
    assert far(image, scene()) < 12


def test_heic_follows_its_profile_and_is_laid_on_white(tmp_path):
    image = Image.new("RGB", (40, 30), (200, 60, 60))
    image.info["icc_profile"] = profile("wide", primaries=DISPLAY_P3)
    assert load(heic(tmp_path / "a.heic", image)).getpixel((9, 9))[1] < 52
    assert min(load(heic(tmp_path / "b.heic", Image.new("RGBA", (40, 30)))).getpixel((9, 9))) > 250


@pytest.mark.parametrize("keep", [0, 24, 200, -10])
def test_damaged_heic_is_refused(tmp_path, keep):
    data = heic(tmp_path / "a.heic", scene()).read_bytes()
    (tmp_path / "a.heic").write_bytes(data[:keep])
    with pytest.raises(ImageError):
        load(tmp_path / "a.heic")


def test_without_the_extra_each_heic_is_skipped_with_what_would_read_it(tmp_path, vision_text_folder, monkeypatch):
    (tmp_path / "catalog").mkdir()
    scene().save(tmp_path / "catalog" / "a.png")
    heic(tmp_path / "catalog" / "IMG_1.HEIC", scene())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    done = vdistill("index", "catalog", "--backbone", vision_text_folder, "--json", cwd=tmp_path)
    assert done.code == 0
    assert done.json["skipped"] == [
        {"id": "IMG_1.HEIC", "reason": "HEIC is read by an extra: pip install 'vdistill[heic]'"}
    ]
    monkeypatch.delitem(sys.modules, "pillow_heif")
    again = vdistill("index", "--json", cwd=tmp_path)
    assert again.json["skipped"] == []
    assert again.json["added"] == 1
