"""An image tower of the same architecture takes the graph that was traced for another, with its own weights."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.index import onnx_export
from vdistill.index.graph_reuse import NOTES
from vdistill.index.onnx_export import export_image_encoder


@pytest.fixture
def traced(monkeypatch):
    """The towers that were traced, not lent a graph."""
    found, write = [], onnx_export._write
    monkeypatch.setattr(onnx_export, "_write", lambda *arguments: (found.append(arguments[0]), write(*arguments)))
    return found


def changed(encoder, dimensions=(2, 4)):
    """The encoder with other numbers in the matrices of its image tower, as after training."""
    model = copy.deepcopy(encoder.model)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ("vision" in name or "visual" in name) and parameter.ndim in dimensions:
                parameter += 0.05 * torch.randn_like(parameter)
    return dataclasses.replace(encoder, model=model)


def vectors(encoder, folder, tmp_path):
    """Of one image, by the exported encoder and by the model."""
    path = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((61, 47)).save(path)
    with Image.open(path) as image:
        inputs = encoder.preprocessing.stack([encoder.preprocessing(image.convert("RGB"))])
    return ImageEncoder.open(folder).encode(path), encoder.encode_images(inputs)[0]


@pytest.mark.parametrize("name", ["clip", "vision_text", "chinese_clip", "altclip"])
def test_a_student_takes_the_graph_of_its_backbone(name, request, tmp_path, traced):
    backbone = DualEncoder.load(str(request.getfixturevalue(f"{name}_folder")), device="cpu", precision="fp32")
    student = changed(backbone)
    export_image_encoder(backbone, tmp_path / "backbone")
    export_image_encoder(student, tmp_path / "student", known=[tmp_path / "backbone"])
    assert len(traced) == 1, "the backbone alone"
    exported, direct = vectors(student, tmp_path / "student", tmp_path)
    assert exported @ direct > 0.99999
    before, _ = vectors(backbone, tmp_path / "backbone", tmp_path)
    assert exported @ before < 0.9999, "its own weights"
    assert (tmp_path / "student" / NOTES).read_bytes() == (tmp_path / "backbone" / NOTES).read_bytes()


def test_a_tower_whose_matrices_are_cut_up_in_its_graph_is_traced(siglip_folder, tmp_path, traced):
    backbone = DualEncoder.load(str(siglip_folder), device="cpu", precision="fp32")
    student = changed(backbone)
    export_image_encoder(backbone, tmp_path / "backbone")
    assert not (tmp_path / "backbone" / NOTES).exists(), "its attention pooling packs three matrices into one"
    export_image_encoder(student, tmp_path / "student", known=[tmp_path / "backbone"])
    assert len(traced) == 2


def test_another_tower_is_traced(clip_folder, altclip_folder, tmp_path, traced):
    one, other = (
        DualEncoder.load(str(folder), device="cpu", precision="fp32") for folder in (clip_folder, altclip_folder)
    )
    export_image_encoder(one, tmp_path / "one")
    export_image_encoder(other, tmp_path / "other", known=[tmp_path / "one"])
    assert len(traced) == 2


def test_a_tower_that_differs_in_what_lies_within_the_graph_is_traced(clip_folder, tmp_path, traced):
    backbone = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    export_image_encoder(backbone, tmp_path / "backbone")
    other = changed(backbone, dimensions=(1,))
    export_image_encoder(other, tmp_path / "other", known=[tmp_path / "backbone"])
    assert len(traced) == 2
    exported, direct = vectors(other, tmp_path / "other", tmp_path)
    assert np.allclose(exported, direct, atol=1e-5)


def test_a_graph_that_does_not_give_what_the_model_gives_is_traced_anew(clip_folder, tmp_path, traced):
    backbone = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    student = changed(backbone)
    export_image_encoder(backbone, tmp_path / "backbone")
    notes = (tmp_path / "backbone" / NOTES).read_text()
    damaged = json.loads(notes)
    damaged["weights"][2][0], damaged["weights"][3][0] = damaged["weights"][3][0], damaged["weights"][2][0]
    (tmp_path / "backbone" / NOTES).write_text(json.dumps(damaged))
    export_image_encoder(student, tmp_path / "student", known=[tmp_path / "backbone"])
    assert len(traced) == 2
    exported, direct = vectors(student, tmp_path / "student", tmp_path)
    assert np.allclose(exported, direct, atol=1e-5)


@pytest.mark.parametrize("notes", ["[]", "null", '{"architecture": 1}'])
def test_notes_that_are_none_do_no_harm(notes, clip_folder, tmp_path, traced):
    backbone = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    export_image_encoder(backbone, tmp_path / "backbone")
    (tmp_path / "backbone" / NOTES).write_text(notes)
    export_image_encoder(changed(backbone), tmp_path / "student", known=[tmp_path / "backbone"])
    assert len(traced) == 2


def test_weights_beyond_their_file_are_not_written(clip_folder, tmp_path, traced):
    backbone = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    export_image_encoder(backbone, tmp_path / "backbone")
    notes = json.loads((tmp_path / "backbone" / NOTES).read_text())
    notes["weights"][0][0] = 10**12
    (tmp_path / "backbone" / NOTES).write_text(json.dumps(notes))
    export_image_encoder(changed(backbone), tmp_path / "student", known=[tmp_path / "backbone"])
    assert len(traced) == 2
    assert (tmp_path / "student" / "model.onnx.data").stat().st_size < 10**6


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", NOTES])
def test_a_damaged_export_does_no_harm(name, clip_folder, tmp_path):
    backbone = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    student = changed(backbone)
    export_image_encoder(backbone, tmp_path / "backbone")
    damaged = tmp_path / "backbone" / name
    damaged.write_bytes(damaged.read_bytes()[:100])
    export_image_encoder(student, tmp_path / "student", known=[tmp_path / "backbone"])
    exported, direct = vectors(student, tmp_path / "student", tmp_path)
    assert exported @ direct > 0.99999
