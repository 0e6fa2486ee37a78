"""Images whose pixels are whole are read, whatever is wrong beside them; images that lack pixels are not."""

import io
import threading
import zlib

import numpy as np
import pytest
from PIL import ImageFile

from odd_images import chunk, png, scene
from vdistill.errors import ImageError
from vdistill.images import load
from vdistill.images.repair import repaired

ROWS = np.asarray(scene()).reshape(80, -1)
LONG = b"note\0\0" + zlib.compress(b"x" * 3_000_000)
WIDE = b"a profile\0\0" + zlib.compress(bytes(3_000_000))


def written(path, data):
    path.write_bytes(data)
    return path


def jpeg(image=None, **options):
    file = io.BytesIO()
    (image or scene()).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def same(image, other):
    return np.array_equal(np.asarray(image), np.asarray(other))


SIDE_CHUNKS = {
    "a long text": chunk(b"zTXt", LONG),
    "a long international text": chunk(b"iTXt", b"note\0\1\0\0\0" + LONG[6:]),
    "a wrong checksum of a text": chunk(b"tEXt", b"Software\0cam", sound=False),
    "a wrong checksum of a profile": chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"x"), sound=False),
    "a profile that is too long": chunk(b"iCCP", WIDE),
    "an animation that is none": chunk(b"acTL", b"\0\0\0\2\0\0\0\0") + chunk(b"fcTL", b"\xff" * 26),
    "a name of no letters": chunk(b"\1\2\3\4", b"what"),
}


@pytest.mark.parametrize("what", SIDE_CHUNKS)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_png_is_read_in_spite_of(tmp_path, what, place):
    side = SIDE_CHUNKS[what]
    data = png(ROWS, 8, 2, side) if place == "before" else png(ROWS, 8, 2, last=[side])
    assert same(load(written(tmp_path / "a.png", data)), scene())


def test_what_colours_depend_on_survives_the_repair(tmp_path):
    palette = chunk(b"PLTE", bytes([0, 0, 0, 255, 0, 0])) + chunk(b"tRNS", b"\0\xff")
    data = png(np.array([[0, 1]], "u1"), 8, 3, chunk(b"zTXt", LONG), palette)
    assert np.asarray(load(written(tmp_path / "a.png", data))).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_a_png_without_end_is_read_and_one_that_lacks_rows_is_not(tmp_path):
    data = png(ROWS, 8, 2)
    assert same(load(written(tmp_path / "a.png", data[:-12])), scene())
    with pytest.raises(ImageError, match="truncated"):
        load(written(tmp_path / "b.png", data[: len(data) // 2]))


def test_wrong_pixels_of_a_png_stay_refused(tmp_path):
    data = bytearray(png(ROWS, 8, 2, chunk(b"zTXt", LONG)))
    at = data.find(b"IDAT") + 40
    data[at : at + 8] = bytes(8)
    with pytest.raises(ImageError):
        load(written(tmp_path / "a.png", bytes(data)))


KINDS = {
    "plain": {},
    "grey": {"image": scene().convert("L")},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_blocks": 7},
    "print colours": {"image": scene().convert("CMYK")},
    "subsampled": {"subsampling": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_read(tmp_path, kind, cut):
    data = jpeg(**KINDS[kind])
    whole, cut_off = written(tmp_path / "a.jpg", data), written(tmp_path / "b.jpg", data[:-cut])
    assert same(load(cut_off), load(whole))
    assert same(load(cut_off, target=10), load(whole, target=10))


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_lacks_more_is_refused_wherever_it_ends(tmp_path, kind):
    data = jpeg(**KINDS[kind])
    scans = data.rfind(b"\xff\xda")
    boundaries = [at for at in range(400, len(data) - 4) if data[at] == 0xFF and data[at + 1]]
    for end in {*range(len(data) - 60, len(data) - 5, 9), *boundaries[-12:], scans, len(data) // 2}:
        with pytest.raises(ImageError, match="truncated|damaged|not an image"):
            load(written(tmp_path / "a.jpg", data[:end]))


def test_other_threads_do_not_see_a_repair(tmp_path):
    """Pillow's own switch for such files would let truncated images of other threads through as grey."""
    whole = written(tmp_path / "a.jpg", jpeg()[:-2])
    torn = written(tmp_path / "b.jpg", jpeg()[:2000])
    stop, let_through = threading.Event(), []

    def others():
        while not stop.is_set():
            try:
                load(torn)
                let_through.append(torn)
            except ImageError:
                pass

    thread = threading.Thread(target=others)
    thread.start()
    for _ in range(20):
        load(whole)
    stop.set()
    thread.join()
    assert not let_through
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", bytes(99)])
def test_what_is_no_image_is_not_repaired_into_one(data):
    found = repaired(data)
    assert found is None or found == data
