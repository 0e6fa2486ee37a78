"""The student as a checkpoint of its own: other libraries open it and get the same vectors."""

import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from command_line import errors, vdistill, write_scores
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.student import open_student
from vdistill.workspace import at


@pytest.fixture(params=["clip", "siglip", "vision_text"])
def home(request, tmp_path, catalog):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    folder = request.getfixturevalue(f"{request.param}_folder")
    label = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone",
                     folder, "--images-per-call", 4, "--budget", 60, cwd=tmp_path)  # fmt: skip
    assert label.code == 0, label.err
    done = vdistill("distill", "--epochs", 2, "--rank", 4, "--lr", 0.01, cwd=tmp_path)
    assert done.code == 0, done.err
    return tmp_path


def test_any_program_opens_the_merged_student(home, catalog):
    assert vdistill("distill", "--merge", "merged", cwd=home).code == 0
    student = open_student(at(home / ".vdistill"), device="cpu", precision="fp32")
    plain = AutoModel.from_pretrained(home / "merged")
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = plain.get_image_features(pixel_values=pixels)
        found = torch.nn.functional.normalize(getattr(found, "pooler_output", found), dim=-1)
        torch.testing.assert_close(found, student.image_features(pixel_values=pixels), atol=1e-4, rtol=0)
    merged = DualEncoder.load(str(home / "merged"), device="cpu", precision="fp32")
    assert merged.fingerprint == student.fingerprint
    assert AutoTokenizer.from_pretrained(home / "merged")
    backbone = DualEncoder.load(student.source, device="cpu", precision="fp32")
    with torch.inference_mode():
        moved = (backbone.image_features(pixel_values=pixels) - merged.image_features(pixel_values=pixels)).abs().max()
    assert moved > 1e-3, "what training changed is in the checkpoint"


def test_sentence_transformers_opens_the_merged_student(home, catalog):
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    assert vdistill("distill", "--merge", "merged", cwd=home).code == 0
    student = open_student(at(home / ".vdistill"), device="cpu", precision="fp32")
    opened = SentenceTransformer(str(home / "merged"), device="cpu")
    texts = ["a red mug", "something for the kitchen"]
    np.testing.assert_allclose(
        opened.encode(texts, normalize_embeddings=True), student.encode_texts(texts), atol=1e-4, rtol=0
    )
    images = [Image.open(path).convert("RGB") for path in sorted(catalog.glob("*.png"))[:3]]
    ours = student.encode_images(student.preprocessing.stack([student.preprocessing(image) for image in images]))
    np.testing.assert_allclose(opened.encode(images, normalize_embeddings=True), ours, atol=1e-4, rtol=0)


def test_a_merged_student_can_be_replaced_but_nothing_else(home):
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("years of work")
    error, _ = errors(vdistill("distill", "--merge", "mine", cwd=home))
    assert "mine" in error
    assert (home / "mine" / "thesis.txt").exists()
    for _ in range(2):
        assert vdistill("distill", "--merge", "merged", cwd=home).code == 0


def test_the_backbone_is_never_replaced(home, clip_folder):
    copy = shutil.copytree(clip_folder, home / "backbone")
    known = {path.name: path.read_bytes() for path in copy.iterdir()}
    error, hint = errors(vdistill("distill", "--merge", "backbone", cwd=home))
    assert "backbone" in error
    assert "new folder" in hint
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == known


def test_there_must_be_a_student(tmp_path, catalog, clip_folder):
    vdistill("index", "catalog", "--model", "backbone", "--backbone", clip_folder, cwd=tmp_path)
    error, hint = errors(vdistill("distill", "--merge", "merged", cwd=tmp_path))
    assert "no student" in error
    assert "distill" in hint
