"""Checkpoints in open_clip's layout: converted one to one, or refused by name."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

import open_clip_models
from command_line import errors, vdistill, write_scores
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.student import open_student
from vdistill.workspace import at

TEXTS = ["A Red mug!", "something_blue to sit on", "x"]


def opened(folder):
    encoder = DualEncoder.load(str(folder), device="cpu", precision="fp32")
    tensors = load_file(next(folder.glob("*.safetensors")))
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = encoder.tokenize(TEXTS)
    with torch.inference_mode():
        vectors = encoder.text_features(**tokens), encoder.image_features(pixel_values=pixels)
    return {name.removeprefix("model."): part for name, part in tensors.items()}, tokens["input_ids"], pixels, vectors


@pytest.mark.parametrize("quick", [False, True])
def test_a_clip_of_open_clip_gives_the_vectors_of_its_definition(tmp_path, quick):
    act = open_clip_models.quick_gelu if quick else torch.nn.functional.gelu
    tensors, ids, pixels, (texts, images) = opened(open_clip_models.clip(tmp_path / "clip", quick_gelu=quick))
    wanted = open_clip_models.text_vectors(tensors, ids, causal=True, act=act)
    torch.testing.assert_close(texts, wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(
        images, open_clip_models.image_vectors_of_clip(tensors, pixels, act=act), atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("kind", ["siglip", "marqo"])
def test_a_siglip_of_open_clip_gives_the_vectors_of_its_definition(tmp_path, kind):
    tensors, ids, pixels, (texts, images) = opened(getattr(open_clip_models, kind)(tmp_path / kind))
    wanted = open_clip_models.text_vectors(tensors, ids, causal=False, act=torch.nn.functional.gelu, eps=1e-6)
    torch.testing.assert_close(texts, wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(images, open_clip_models.image_vectors_of_siglip(tensors, pixels), atol=2e-6, rtol=0)


def test_images_are_prepared_as_its_config_says(tmp_path):
    squashed = DualEncoder.load(str(open_clip_models.siglip(tmp_path / "a")), device="cpu").preprocessing
    cropped = DualEncoder.load(str(open_clip_models.clip(tmp_path / "b")), device="cpu").preprocessing
    assert (squashed.shortest_edge, squashed.height, squashed.mean) == (None, 32, (0.5, 0.5, 0.5))
    assert (cropped.shortest_edge, cropped.height, cropped.mean[0]) == (32, 32, 0.48145466)


def test_texts_are_cleaned_as_its_config_says(tmp_path):
    encoder = DualEncoder.load(str(open_clip_models.siglip(tmp_path / "a")), device="cpu")
    one, other = encoder.tokenize(["Red-mug, for_a  gift!"]), encoder.tokenize(["redmug for a gift"])
    assert torch.equal(one["input_ids"], other["input_ids"])


@pytest.mark.parametrize("kind", ["clip", "marqo"])
def test_a_converted_backbone_is_searched_taught_and_merged_like_any_other(tmp_path, catalog, kind):
    folder = getattr(open_clip_models, kind)(tmp_path / "backbone")
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    label = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone",
                     folder, "--images-per-call", 4, "--budget", 60, cwd=tmp_path)  # fmt: skip
    assert label.code == 0, label.err
    for command in (["distill", "--epochs", 1, "--rank", 4, "--lr", 0.01], ["distill", "--merge", "merged"]):
        done = vdistill(*command, cwd=tmp_path)
        assert done.code == 0, done.err
    student = open_student(at(tmp_path / ".vdistill"), device="cpu", precision="fp32")
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = AutoModel.from_pretrained(tmp_path / "merged").get_image_features(pixel_values=pixels).pooler_output
        found = torch.nn.functional.normalize(found, dim=-1)
        torch.testing.assert_close(found, student.image_features(pixel_values=pixels), atol=1e-5, rtol=0)
    merged = DualEncoder.load(str(tmp_path / "merged"), device="cpu", precision="fp32")
    assert merged.fingerprint == student.fingerprint
    assert vdistill("index", cwd=tmp_path).code == 0
    hits = vdistill("query", "something red", "--json", cwd=tmp_path).json
    assert len(hits["results"]) == 10
    assert "AutoModel" not in (tmp_path / ".vdistill" / "student" / "README.md").read_text()


def refused(folder, catalog, tmp_path):
    return errors(vdistill("index", catalog, "--backbone", folder, cwd=tmp_path))


def test_pickled_weights_are_not_opened_and_the_remedy_works(tmp_path, catalog):
    folder = open_clip_models.clip(tmp_path / "backbone")
    torch.save(load_file(folder / "open_clip_model.safetensors"), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_model.safetensors").unlink()
    error, hint = refused(folder, catalog, tmp_path)
    assert "open_clip_pytorch_model.bin" in error
    command = hint.split("python -c '")[1].removesuffix("'")
    subprocess.run([sys.executable, "-c", command], cwd=folder, check=True)
    assert vdistill("index", catalog, "--backbone", folder, cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, "a ResNet"),
        ("vision_cfg", {"timm_model_name": "convnext_base"}, "convnext_base"),
        ("vision_cfg", {"timm_model_name": "eva02_base_patch16_clip_224"}, "eva02_base_patch16_clip_224"),
        ("vision_cfg", {"no_ln_pre": True}, "no_ln_pre"),
        ("vision_cfg", {"attentional_pool": True}, "attentional_pool"),
        ("text_cfg", {"hf_model_name": "xlm-roberta-base"}, "xlm-roberta-base"),
        ("text_cfg", {"pool_type": "eos", "eos_id": 2}, "end in token 2"),
    ],
)
def test_another_architecture_is_refused_by_name_before_its_weights_are_read(tmp_path, catalog, part, change, words):
    folder = open_clip_models.clip(tmp_path / "backbone")
    path = folder / "open_clip_config.json"
    facts = json.loads(path.read_text())
    facts["model_cfg"][part] |= change
    path.write_text(json.dumps(facts))
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    error, hint = refused(folder, catalog, tmp_path)
    assert words in error
    assert "docs/distill.md" in hint


def test_no_tensor_is_lost_and_none_is_made_up(tmp_path, catalog):
    folder = open_clip_models.clip(tmp_path / "backbone")
    tensors = load_file(folder / "open_clip_model.safetensors")
    save_file({**tensors, "visual.extra.weight": torch.zeros(2)}, folder / "open_clip_model.safetensors")
    assert "visual.extra.weight" in refused(folder, catalog, tmp_path)[0]
    del tensors["visual.proj"]
    save_file(tensors, folder / "open_clip_model.safetensors")
    assert "visual_projection.weight" in refused(folder, catalog, tmp_path)[0]


def test_a_folder_without_its_tokenizer_says_where_to_get_it(tmp_path, catalog):
    folder = open_clip_models.clip(tmp_path / "backbone")
    for path in folder.glob("*token*"):
        path.unlink()
    error, hint = refused(folder, catalog, tmp_path)
    assert "has no tokenizer" in error
    assert "hf download openai/clip-vit-base-patch32" in hint
