"""Many texts: in bf16 where the processor multiplies it, and never far from float32."""

from dataclasses import replace

import pytest

from vdistill.encoders import text_copy
from vdistill.encoders.device import cpu_multiplies_bf16
from vdistill.encoders.text_copy import COSINE, KeptTexts, ManyTexts
from vdistill.workspace import create

needs_bf16 = pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this processor does not multiply bf16")


@pytest.fixture
def encoder(clip_encoder):
    return replace(clip_encoder, precision="bf16")


@needs_bf16
def test_many_texts_are_near_what_each_is_alone(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(text_copy, "_MANY", 64)
    texts = [f"a gift for number {number}" for number in range(80)]
    found = KeptTexts(encoder, create(tmp_path)).encode(texts)
    assert found.dtype == "float32"
    assert (found * encoder.encode_texts(texts)).sum(axis=1) == pytest.approx(1, abs=1e-3)


@needs_bf16
def test_a_tower_that_bf16_would_change_keeps_float32(encoder, monkeypatch):
    monkeypatch.setattr(text_copy, "_MANY", 64)
    monkeypatch.setattr(text_copy, "COSINE", 1.1)
    texts = [f"a gift for number {number}" for number in range(80)]
    assert (ManyTexts(encoder).encode(texts) == encoder.encode_texts(texts)).all()


@needs_bf16
def test_texts_that_come_in_batches_are_many_in_the_end(encoder, monkeypatch):
    monkeypatch.setattr(text_copy, "_MANY", 64)
    many = ManyTexts(encoder)
    batches = [[f"a gift for number {40 * batch + number}" for number in range(40)] for batch in range(3)]
    first, _, last = map(many.encode, batches)
    exact = [encoder.encode_texts(batch) for batch in batches]
    assert (first == exact[0]).all()
    assert (last != exact[2]).any()
    assert (last * exact[2]).sum(axis=1).min() >= COSINE
