"""Whatever lies in a shop's picture folder is decoded as a person would see it, or refused with a short reason."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vdistill.errors import ImageError, VdistillError
from vdistill.images import MAX_PIXELS, Preprocessing, file_sha256, load, quiet

RED, WHITE = (255, 0, 0), (255, 255, 255)


def near(pixel, colour, tolerance=12):
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


def saved(path, image, **options):
    image.save(path, **options)
    return path


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


def test_one_bit_pictures_are_black_and_white(tmp_path):
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


def test_damaged_exif_does_not_lose_the_picture(tmp_path):
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


def test_out_of_memory_is_a_reason_like_any_other(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    path = saved(tmp_path / "a.png", Image.new("RGB", (4, 4)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", exhausted)
    with pytest.raises(ImageError, match="memory"):
        load(path)


def _encoded(format_):
    file = io.BytesIO()
    Image.effect_noise((24, 18), 90).convert("RGB").save(file, format_)
    return file.getvalue()


ENCODED = {name: _encoded(name) for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")}


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted(ENCODED)),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=6),
    end=st.floats(0, 1),
)
def test_damage_of_any_kind_gives_a_picture_or_an_image_error(tmp_path_factory, name, cuts, end):
    data = bytearray(ENCODED[name])
    for place, change in cuts:
        start = int(place * (len(data) - 1))
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


# Preprocessing is what the Hugging Face processors do


def processors():
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return {
        "clip": CLIPImageProcessorPil(),
        "clip, crop larger than the picture": CLIPImageProcessorPil(
            size={"shortest_edge": 60}, crop_size={"height": 64, "width": 81}
        ),
        "clip, odd sizes": CLIPImageProcessorPil(size={"shortest_edge": 47}, crop_size={"height": 33, "width": 40}),
        "clip, not normalized": CLIPImageProcessorPil(do_normalize=False),
        "chinese_clip": ChineseCLIPImageProcessorPil(),
        "siglip": SiglipImageProcessorPil(),
        "siglip, oblong": SiglipImageProcessorPil(size={"height": 48, "width": 96}),
        "vit": ViTImageProcessorPil(),
        "siglip2": Siglip2ImageProcessorPil(),
        "siglip2, small": Siglip2ImageProcessorPil(patch_size=8, max_num_patches=31),
    }


PROCESSORS = processors()
SIZES = [(1, 1), (7, 5), (224, 224), (225, 223), (301, 517), (640, 427), (100, 800), (3, 20)]


def picture(size):
    """Something with edges and gradients, the same each time."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    layers = [127 + 120 * np.sin(x / 9 + y / 17), (x * y) % 256, np.where((x // 16 + y // 16) % 2, 250, 20)]
    return Image.fromarray(np.stack(layers, axis=-1).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PROCESSORS)
def test_preprocessing_equals_the_hugging_face_processor(name, size):
    theirs = PROCESSORS[name](picture(size), return_tensors="np")
    ours = Preprocessing.from_processor_config(PROCESSORS[name].to_dict())(picture(size))
    assert set(ours) == set(theirs)
    for key, array in ours.items():
        assert array.dtype == theirs[key][0].dtype
        np.testing.assert_allclose(array, theirs[key][0], atol=1e-6)


@pytest.mark.parametrize("size", [(10, 700), (900, 8), (60, 2000)], ids=str)
def test_beyond_an_aspect_of_eight_the_crop_is_nearly_the_same(size):
    """There only what stays is computed, and Pillow may then scale rows before columns, which rounds otherwise."""
    processor = PROCESSORS["clip"]
    theirs = processor(picture(size), return_tensors="np")["pixel_values"][0]
    ours = Preprocessing.from_processor_config(processor.to_dict())(picture(size))["pixel_values"]
    assert np.abs(ours - theirs).mean() < 0.003
    assert np.quantile(np.abs(ours - theirs), 0.95) <= 1.01 / 255 / 0.26


def test_an_extreme_aspect_stays_small():
    prepare = Preprocessing.from_processor_config(PROCESSORS["clip"].to_dict())
    assert prepare(Image.new("RGB", (1, 60_000)))["pixel_values"].shape == (3, 224, 224)


def test_decoding_a_fraction_changes_little(tmp_path):
    prepare = Preprocessing.from_processor_config(PROCESSORS["clip"].to_dict())
    path = saved(tmp_path / "a.jpg", picture((2000, 1500)).resize((4000, 3000)), quality=92)
    whole, part = (prepare(load(path, target))["pixel_values"] for target in (None, prepare.target))
    assert np.abs(whole - part).mean() < 0.03


@pytest.mark.parametrize("name", PROCESSORS)
def test_settings_survive_json(name):
    prepare = Preprocessing.from_processor_config(PROCESSORS[name].to_dict())
    assert Preprocessing.from_json(prepare.to_json()) == prepare


def test_stacking_adds_the_batch_axis():
    prepare = Preprocessing.from_processor_config(PROCESSORS["siglip2, small"].to_dict())
    batch = prepare.stack([prepare(picture((30, 40))), prepare(picture((90, 20)))])
    assert {name: array.shape for name, array in batch.items()} == {
        "pixel_values": (2, 31, 192),
        "pixel_attention_mask": (2, 31),
        "spatial_shapes": (2, 2),
    }


def test_configurations_of_old_transformers_are_understood():
    old = {
        **{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
        **{"do_resize": True, "do_center_crop": True, "do_normalize": True},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    assert Preprocessing.from_processor_config(old) == Preprocessing.from_processor_config(PROCESSORS["clip"].to_dict())


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"image_processor_type": "Sam3ImageProcessor"}, "Sam3ImageProcessor"),
        ({}, "none named"),
        ({"image_processor_type": "CLIPImageProcessor", "do_resize": False}, "do_resize"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "shortest_edge"),
    ],
)
def test_what_cannot_be_followed_is_named(config, named):
    with pytest.raises(VdistillError, match=named):
        Preprocessing.from_processor_config(config)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mean": 1}', '{"mean": [], "std": [], "what": 1}'])
def test_damaged_settings_are_an_error_with_a_remedy(text):
    with pytest.raises(VdistillError) as error:
        Preprocessing.from_json(text)
    assert "vdistill index" in error.value.hint


# Colours


def profile_bytes(kind):
    from PIL import ImageCms

    if kind == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def swapped_profile():
    """A display profile whose red and green primaries are exchanged: what it calls red is green."""
    data = bytearray(profile_bytes("srgb"))
    count = int.from_bytes(data[128:132], "big")
    at = {bytes(data[132 + 12 * n : 136 + 12 * n]): 136 + 12 * n for n in range(count)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    data[red : red + 4], data[green : green + 4] = data[green : green + 4], data[red : red + 4]
    return bytes(data).replace(b"s\0R\0G\0B", b"o\0d\0d\0 ").replace(b"sRGB built-in", b"odd  built-in")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_embedded_profile_is_followed(tmp_path, mode):
    image = Image.new("RGB", (40, 30), (250, 10, 10)).convert(mode)
    image.save(tmp_path / "odd.png", icc_profile=swapped_profile())
    red, green, _ = load(tmp_path / "odd.png").getpixel((5, 5))
    assert green > 200 > 80 > red


@pytest.mark.parametrize("profile", ["srgb", "lab", b"", b"no profile at all" * 20])
def test_a_profile_that_says_nothing_of_use_changes_nothing(tmp_path, profile):
    data = profile_bytes(profile) if isinstance(profile, str) else profile
    Image.new("RGB", (40, 30), (250, 10, 10)).save(tmp_path / "same.png", icc_profile=data)
    assert load(tmp_path / "same.png").getpixel((5, 5)) == (250, 10, 10)


def test_a_profile_of_another_colour_space_is_not_followed(tmp_path):
    Image.new("CMYK", (40, 30), (0, 200, 200, 0)).save(tmp_path / "print.jpg", icc_profile=swapped_profile())
    red, green, blue = load(tmp_path / "print.jpg").getpixel((5, 5))
    assert red > 200
    assert max(green, blue) < 90
