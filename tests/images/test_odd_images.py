"""Odd image files through the commands: found by the vector of the plain image that a person would see."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from command_line import vdistill
from odd_images import chunk, linear, png, profile, scene, tiff

ROWS = np.asarray(scene()).reshape(80, -1)
GREY = np.asarray(scene().convert("L"))
HOLE = GREY.copy()
HOLE[:40, :60] = 0


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def on_white(grey):
    seen = grey.copy()
    seen[:40, :60] = 255
    return Image.fromarray(seen)


ODD = {
    "turned.tif": (encoded(scene().transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={0x0112: 6}), scene()),
    "named-srgb.png": (encoded(linear(scene()), "PNG", icc_profile=profile("Linear sRGB", 1.0)), scene()),
    "white-is-zero.tif": (tiff(65535 - GREY.astype("<u2") * 257, 0), scene().convert("L")),
    "deep-hole.png": (png(HOLE.astype(">u2") * 257, 16, 0, chunk(b"tRNS", struct.pack(">H", 0))), on_white(HOLE)),
    "long-text.png": (png(ROWS, 8, 2, chunk(b"zTXt", b"note\0\0" + zlib.compress(b"x" * 3_000_000))), scene()),
    "bad-checksum.png": (png(ROWS, 8, 2, chunk(b"tEXt", b"Software\0cam", sound=False)), scene()),
    "no-end.jpg": (encoded(scene(), "JPEG", quality=97, subsampling=0)[:-2], scene()),
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, vision_text_folder):
    home = tmp_path_factory.mktemp("odd")
    (home / "catalog").mkdir()
    for name, (data, seen) in ODD.items():
        (home / "catalog" / name).write_bytes(data)
        seen.convert("RGB").save(home / f"{name}.plain.png")
    (home / "catalog" / "torn.jpg").write_bytes(encoded(scene(), "JPEG")[:1200])
    done = vdistill("index", "catalog", "--backbone", vision_text_folder, "--dtype", "f32", "--json", cwd=home)
    assert done.code == 0, done.err
    return home, done


def score(home, plain, item):
    found = vdistill("query", "--image", plain, "-k", 99, "--json", cwd=home).json["results"]
    return next(result["score"] for result in found if result["id"] == item)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_embedded_as_it_looks(indexed, name):
    home, _ = indexed
    as_stored = home / "stored.png"
    ODD[name][1].convert("RGB").transpose(Image.Transpose.ROTATE_270).save(as_stored)
    assert score(home, f"{name}.plain.png", name) > 0.9995


def test_only_what_lacks_pixels_is_skipped_and_by_name(indexed):
    _, done = indexed
    assert done.json["items"] == len(ODD)
    assert [one["id"] for one in done.json["skipped"]] == ["torn.jpg"]
    assert "truncated" in done.json["skipped"][0]["reason"]


def test_vectors_of_an_older_decoder_are_computed_again(indexed):
    home, _ = indexed
    manifest = home / ".vdistill" / "index" / "manifest.json"
    old = json.loads(manifest.read_text())
    del old["models"]["backbone"]["decoder"]
    manifest.write_text(json.dumps(old))
    asked = vdistill("query", "something red", "--json", cwd=home)
    assert asked.code == 0
    assert "`vdistill index` embeds them all again" in asked.err
    again = vdistill("index", "--dtype", "f32", "--json", cwd=home)
    assert again.json["updated"] == len(ODD), "though no file changed"
    assert "all are embedded again" in again.err
    assert vdistill("index", "--dtype", "f32", "--json", cwd=home).json["updated"] == 0
    assert vdistill("query", "something red", "-k", 1, "--json", cwd=home).err == ""
