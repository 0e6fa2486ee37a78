"""Whatever lies in a shop's picture folder is decoded as a person would see it, or refused with a short reason."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms

from odd_images import DISPLAY_P3, chunk, linear, png, profile, scene, tiff
from vdistill.errors import ImageError
from vdistill.images import MAX_PIXELS, file_sha256, load, quiet

RED, WHITE = (255, 0, 0), (255, 255, 255)


def near(pixel, colour, tolerance=12):
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


def saved(path, image, **options):
    image.save(path, **options)
    return path


def written(path, data):
    path.write_bytes(data)
    return path


def far(image, other):
    """The largest difference of a channel."""
    return max(high for _, high in ImageChops.difference(image, other.convert("RGB")).getextrema())


def png_header(path, width, height):
    """A PNG that declares a size and has no such pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\0" * 8)
    return path


# What can be read is read as a person sees it


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (9, 7), RED).convert("CMYK"))
    image = load(path)
    assert image.mode == "RGB"
    assert near(image.getpixel((4, 3)), RED)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    half = Image.fromarray(np.full((5, 5), 32768, np.uint16))
    assert near(load(saved(tmp_path / "a.png", half)).getpixel((2, 2)), (128, 128, 128), 1)
    assert near(load(saved(tmp_path / "a.tif", half)).getpixel((2, 2)), (128, 128, 128), 1)


@pytest.mark.parametrize(("values", "grey"), [([0.0, 1.0], 255), ([0.0, 200.0], 200), ([-1.0, 3.0], 255)])
def test_float_tiff_shows_its_range(tmp_path, values, grey):
    image = load(saved(tmp_path / "a.tif", Image.fromarray(np.array([values], np.float32))))
    assert image.getpixel((1, 0)) == (grey, grey, grey)


def test_not_a_number_in_a_float_tiff_is_black(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[np.nan, 1.0, np.inf]], np.float32)))
    assert load(path).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    assert load(saved(tmp_path / "a.png", Image.new(mode, (4, 4)))).getpixel((1, 1)) == WHITE


def test_palette_with_alpha_is_laid_on_white(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    path = saved(tmp_path / "a.png", image, transparency=bytes([255, 0]))
    assert load(path).getpixel((1, 1)) == WHITE


def test_a_grey_of_few_bits_may_be_transparent(tmp_path):
    steps = np.array([[0x0F], [0xFF]], np.uint8)  # 4 bits: black beside white, white beside white
    path = written(tmp_path / "a.png", png(steps, 4, 0, chunk(b"tRNS", b"\0\0")))
    assert np.asarray(load(path))[..., 0].tolist() == [[255, 255], [255, 255]]
    path = written(tmp_path / "b.png", png(steps // 3, 4, 0, chunk(b"tRNS", b"\0\5")))
    assert np.asarray(load(path))[..., 0].tolist() == [[0, 255], [255, 255]]


def test_one_value_of_sixteen_bits_is_transparent_and_its_neighbours_are_not(tmp_path):
    grey = np.array([[0, 1, 30000]], ">u2")
    path = written(tmp_path / "a.png", png(grey, 16, 0, chunk(b"tRNS", struct.pack(">H", 0))))
    assert np.asarray(load(path))[..., 0].tolist() == [[255, 0, 117]]
    rgb = np.array([[[1, 2, 3], [1, 2, 4], [25700, 0, 65535]]], ">u2")
    path = written(tmp_path / "b.png", png(rgb, 16, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    assert np.asarray(load(path)).tolist() == [[[255, 255, 255], [0, 0, 0], [100, 0, 255]]]


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_tiffs_use_their_range_whichever_end_is_white(tmp_path, bits):
    top = 2**bits - 1
    values = np.array([[0, top // 2, top, top // 2]], "<u2")
    path = written(tmp_path / "a.tif", tiff(values, 1, bits))
    assert np.asarray(load(path))[0, :, 0].tolist() == [0, 127, 255, 127]
    if bits == 16:  # Pillow reads no others of this kind
        path = written(tmp_path / "b.tif", tiff(values, 0, bits))
        assert np.asarray(load(path))[0, :, 0].tolist() == [255, 128, 0, 128]


def test_a_float_tiff_with_white_at_zero_is_no_negative(tmp_path):
    path = written(tmp_path / "a.tif", tiff(np.array([[0, 0.4, 1]], "<f4"), 0, 32, kind=3))
    assert np.asarray(load(path))[0, :, 0].tolist() == [255, 153, 0]


def test_one_bit_images_are_black_and_white(tmp_path):
    assert load(saved(tmp_path / "a.png", Image.new("1", (3, 3), 1))).getpixel((1, 1)) == WHITE


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_counts(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=50)
    assert near(load(path).getpixel((3, 3)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    stored = Image.new("RGB", (40, 24), "white")
    stored.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = load(saved(tmp_path / "a.jpg", stored, exif=exif, quality=95))
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    assert image.size == ((24, 40) if orientation > 4 else (40, 24))
    x = 2 if corner[1] == "l" else image.width - 3
    y = 2 if corner[0] == "t" else image.height - 3
    assert near(image.getpixel((x, y)), RED, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "png", "webp", "avif"])
def test_every_format_is_turned_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    T = Image.Transpose
    back = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90,
            7: T.TRANSVERSE, 8: T.ROTATE_270}  # fmt: skip
    as_stored = scene().transpose(back[orientation]) if orientation > 1 else scene()
    options = {"webp": {"lossless": True}, "avif": {"quality": 100, "subsampling": "4:4:4"}}.get(suffix, {})
    options |= {"tiffinfo": {0x0112: orientation}} if suffix == "tif" else {"exif": exif}
    image = load(saved(tmp_path / f"a.{suffix}", as_stored, **options))
    assert far(image, scene()) < 12


def test_a_compressed_tiff_is_turned_once(tmp_path):
    path = tmp_path / "a.tif"
    scene().transpose(Image.Transpose.ROTATE_90).save(path, compression="tiff_lzw", tiffinfo={0x0112: 6})
    assert far(load(path), scene()) == 0


def test_what_was_done_to_an_image_is_not_passed_on_with_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", scene(), exif=exif, icc_profile=profile("odd", primaries=DISPLAY_P3))
    load(path).save(tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as again:
        assert again.getexif() == {}
        assert "icc_profile" not in again.info


def test_damaged_exif_does_not_lose_the_image(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (8, 8), RED), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    with quiet():
        assert near(load(path).getpixel((4, 4)), RED)


def test_the_content_counts_not_the_suffix(tmp_path):
    path = tmp_path / "really a png.jpg"
    Image.new("RGB", (5, 5), RED).save(path, "PNG")
    assert load(path).getpixel((2, 2)) == RED


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_tiny_and_extreme_shapes_load(tmp_path, size):
    assert load(saved(tmp_path / "a.png", Image.new("RGB", size, RED))).size == size


def test_large_jpegs_are_decoded_at_a_fraction_of_their_size_but_not_below_twice_the_target(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (3200, 2400), RED))
    assert load(path).size == (3200, 2400)
    image = load(path, target=224)
    assert image.width < 3200
    assert min(image.size) >= 448


@pytest.mark.parametrize("name", ["with space.png", 'it\'s "quoted".png', "new\nline.png", "日本語 🎁.png"])
def test_any_file_name_will_do(tmp_path, name):
    assert load(saved(tmp_path / name, Image.new("RGB", (2, 2)), format="PNG")).size == (2, 2)


# What cannot be read is refused with the reason


def test_zero_bytes(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match=r"^the file is empty$"):
        load(tmp_path / "a.jpg")


def test_truncated_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.effect_noise((200, 200), 80).convert("RGB"))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError, match="truncated"):
        load(path)


def test_not_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    with pytest.raises(ImageError, match=r"^not an image in a known format$"):
        load(tmp_path / "a.jpg")


def test_vanished_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(ImageError, match="not a regular file"):
        load(tmp_path / "b.jpg")


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (12_000, 15_000)])
def test_decompression_bombs_are_refused_before_decoding(tmp_path, size):
    with quiet(), pytest.raises(ImageError, match=f"more than {MAX_PIXELS // 10**6} million"):
        load(png_header(tmp_path / "a.png", *size))


def test_a_small_jpeg_of_endless_scans_is_refused(tmp_path):
    path = saved(tmp_path / "a.jpg", scene(), progressive=True)
    data = path.read_bytes()
    assert load(path).size == scene().size
    last = data.rfind(b"\xff\xda")
    path.write_bytes(data[:-2] + data[last:-2] * 300 + data[-2:])
    with pytest.raises(ImageError, match="scans"):
        load(path)


def test_out_of_memory_is_a_reason_like_any_other(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    path = saved(tmp_path / "a.png", Image.new("RGB", (4, 4)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhausted)
    with pytest.raises(ImageError, match="memory"):
        load(path)


def _encoded(format_, mode="RGB", **options):
    file = io.BytesIO()
    Image.effect_noise((24, 18), 90).convert(mode).save(file, format_, **options)
    return file.getvalue()


_GREY = np.arange(24, dtype=">u2").reshape(4, 6) * 2700
ENCODED = {
    name: _encoded(name) for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")
}
ENCODED |= {
    "progressive": _encoded("JPEG", progressive=True, icc_profile=profile("wide", primaries=DISPLAY_P3)),
    "print": _encoded("JPEG", "CMYK"),
    "palette": _encoded("PNG", "P", transparency=bytes(range(200))),
    "compressed": _encoded("TIFF", compression="tiff_lzw", tiffinfo={0x0112: 6}),
    "deep": png(_GREY, 16, 0, chunk(b"tRNS", b"\0\0")),
    "deep tiff": tiff(_GREY.astype("<u2"), 0),
    "float": tiff(_GREY.astype("<f4"), 0, 32, kind=3),
}


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(ENCODED)),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=6),
    end=st.floats(0, 1),
)
def test_damage_of_any_kind_gives_a_image_or_an_image_error(tmp_path_factory, name, cuts, end):
    data = bytearray(ENCODED[name])
    for place, change in cuts:
        start = int(place**2 * (len(data) - 1))  # mostly near the beginning, where the headers are
        data[start : start + len(change)] = change
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(data[: 1 + int(end * len(data))] if end < 0.9 else data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert load(path, target=8).mode == "RGB"
        except ImageError as error:
            assert 0 < len(error.message) < 200  # noqa: PT017


def test_file_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# Colours


def profile_bytes(kind):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB" if kind == "srgb" else "LAB")).tobytes()


@pytest.mark.parametrize("name", ["linear", "GIMP built-in Linear sRGB", "sRGB IEC61966-2.1"])
def test_a_profile_is_followed_whatever_its_name(tmp_path, name):
    path = saved(tmp_path / "a.png", linear(scene()), icc_profile=profile(name, 1.0))
    assert far(load(path), scene()) <= 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_wide_gamut_is_brought_to_srgb(tmp_path, mode):
    image = Image.new("RGB", (40, 30), (200, 60, 60)).convert(mode)
    red, green, _ = load(
        saved(tmp_path / "a.png", image, icc_profile=profile("sRGB or so", primaries=DISPLAY_P3))
    ).getpixel((5, 5))
    assert red > 210
    assert green < 50


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
def test_grey_follows_its_profile_with_or_without_transparency(tmp_path, mode, space):
    image = linear(scene().convert("L")).convert(mode)
    path = saved(tmp_path / "a.png", image, icc_profile=profile("linear", 1.0, space))
    assert far(load(path), scene().convert("L")) <= 6


def test_deep_grey_follows_its_profile(tmp_path):
    values = np.asarray(linear(scene().convert("L"))).astype(">u2") * 257
    iccp = b"linear\0\0" + zlib.compress(profile("linear", 1.0, b"GRAY"))
    path = written(tmp_path / "a.png", png(values.astype(">u2"), 16, 0, chunk(b"iCCP", iccp)))
    assert far(load(path), scene().convert("L")) <= 6


def test_colours_are_converted_before_they_are_laid_on_white(tmp_path):
    image = linear(scene()).convert("RGBA")
    image.putalpha(128)
    half = Image.blend(Image.new("RGB", scene().size, "white"), scene(), 128 / 255)
    assert far(load(saved(tmp_path / "a.png", image, icc_profile=profile("linear", 1.0))), half) <= 6


def test_lab_tiffs_are_read(tmp_path):
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    path = saved(tmp_path / "a.tif", ImageCms.applyTransform(scene(), to_lab))
    assert far(load(path), scene()) <= 8


def test_a_jpeg_decoded_at_a_fraction_follows_its_profile(tmp_path):
    image = Image.new("RGB", (2000, 1500), (200, 60, 60))
    path = saved(tmp_path / "a.jpg", image, quality=95, icc_profile=profile("wide", primaries=DISPLAY_P3))
    assert load(path, target=64).getpixel((9, 9)) == pytest.approx(load(path).getpixel((9, 9)), abs=2)
    assert load(path, target=64).getpixel((9, 9))[1] < 50


PROFILES = {"srgb": profile_bytes("srgb"), "lab": profile_bytes("lab"), "empty": b"", "none": b"no profile at all" * 20}


@pytest.mark.parametrize("data", PROFILES.values(), ids=PROFILES)  # a profile holds the second it was made in
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_that_says_nothing_of_use_changes_nothing(tmp_path, data, mode):
    path = saved(tmp_path / "same.png", Image.new("RGB", (40, 30), (250, 10, 10)).convert(mode), icc_profile=data)
    assert load(path).getpixel((5, 5)) == (250, 10, 10)


def test_a_profile_of_another_colour_space_is_not_followed(tmp_path):
    image = Image.new("CMYK", (40, 30), (0, 200, 200, 0))
    path = saved(tmp_path / "print.jpg", image, icc_profile=profile("wide", primaries=DISPLAY_P3))
    red, green, blue = load(path).getpixel((5, 5))
    assert red > 200
    assert max(green, blue) < 90
