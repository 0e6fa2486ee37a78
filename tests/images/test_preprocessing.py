"""Preprocessing is what the Hugging Face processors do."""

import numpy as np
import pytest
from PIL import Image

from vdistill.errors import VdistillError
from vdistill.images import Preprocessing, load


def processors():
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return {
        "clip": CLIPImageProcessorPil(),
        "clip, crop larger than the image": CLIPImageProcessorPil(
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


def image(size):
    """Something with edges and gradients, the same each time."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    layers = [127 + 120 * np.sin(x / 9 + y / 17), (x * y) % 256, np.where((x // 16 + y // 16) % 2, 250, 20)]
    return Image.fromarray(np.stack(layers, axis=-1).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PROCESSORS)
def test_preprocessing_equals_the_hugging_face_processor(name, size):
    theirs = PROCESSORS[name](image(size), return_tensors="np")
    ours = Preprocessing.from_processor_config(PROCESSORS[name].to_dict())(image(size))
    assert set(ours) == set(theirs)
    for key, array in ours.items():
        assert array.dtype == theirs[key][0].dtype
        np.testing.assert_allclose(array, theirs[key][0], atol=1e-6)


@pytest.mark.parametrize("size", [(10, 700), (900, 8), (60, 2000)], ids=str)
def test_beyond_an_aspect_of_eight_the_crop_is_nearly_the_same(size):
    """There only what stays is computed, and Pillow may then scale rows before columns, which rounds otherwise."""
    processor = PROCESSORS["clip"]
    theirs = processor(image(size), return_tensors="np")["pixel_values"][0]
    ours = Preprocessing.from_processor_config(processor.to_dict())(image(size))["pixel_values"]
    assert np.abs(ours - theirs).mean() < 0.003
    assert np.quantile(np.abs(ours - theirs), 0.95) <= 1.01 / 255 / 0.26


def test_an_extreme_aspect_stays_small():
    prepare = Preprocessing.from_processor_config(PROCESSORS["clip"].to_dict())
    assert prepare(Image.new("RGB", (1, 60_000)))["pixel_values"].shape == (3, 224, 224)


def test_decoding_a_fraction_changes_little(tmp_path):
    prepare = Preprocessing.from_processor_config(PROCESSORS["clip"].to_dict())
    path = tmp_path / "a.jpg"
    image((2000, 1500)).resize((4000, 3000)).save(path, quality=92)
    whole, part = (prepare(load(path, target))["pixel_values"] for target in (None, prepare.target))
    assert np.abs(whole - part).mean() < 0.03


@pytest.mark.parametrize("name", PROCESSORS)
def test_settings_survive_json(name):
    prepare = Preprocessing.from_processor_config(PROCESSORS[name].to_dict())
    assert Preprocessing.from_json(prepare.to_json()) == prepare


def test_stacking_adds_the_batch_axis():
    prepare = Preprocessing.from_processor_config(PROCESSORS["siglip2, small"].to_dict())
    batch = prepare.stack([prepare(image((30, 40))), prepare(image((90, 20)))])
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
