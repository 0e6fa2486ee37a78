"""`bench --against` text encoders of sentence-transformers and open_clip's checkpoints."""

import json
import shutil

import numpy as np
import pytest
import torch

import models
import open_clip_models
from command_line import errors, vdistill
from vdistill.encoders.sentence_encoder import SentenceEncoder, is_text_encoder
from vdistill.errors import VdistillError

TEXTS = ["a red teapot", "  Something to sit ON ", "gift", "the small wooden chair for the garden, shiny"]


def bert(folder):
    """A BertModel with its tokenizer, as save_pretrained writes it."""
    from transformers import BertConfig, BertModel

    tokenizer = models._bert_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(**models.TOWER, vocab_size=len(tokenizer), max_position_embeddings=16)
    BertModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence_model(folder, pooling="mean", dense=True, **more):
    """A model that sentence-transformers itself has saved."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    first = Transformer(str(bert(folder / "bert")))
    second = Pooling(models.TOWER["hidden_size"], pooling)
    torch.manual_seed(1)
    third = [Dense(second.get_embedding_dimension(), 12)] if dense else []
    model = SentenceTransformer(modules=[first, second, *third, Normalize()], device="cpu", **more)
    model.save(str(folder / "saved"))
    return folder / "saved", model


@pytest.mark.parametrize(
    "pooling", ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("mean", "max")]
)
def test_vectors_are_those_of_sentence_transformers(tmp_path, pooling):
    folder, theirs = sentence_model(tmp_path, pooling)
    ours = SentenceEncoder.load(str(folder), "cpu")
    assert np.allclose(ours.documents(TEXTS), theirs.encode(TEXTS), atol=1e-5)


def test_prompts_stand_before_queries_and_texts(tmp_path):
    folder, theirs = sentence_model(tmp_path, dense=False, prompts={"query": "photo of ", "document": "the "})
    ours = SentenceEncoder.load(str(folder), "cpu")
    assert np.allclose(ours.queries(TEXTS), theirs.encode_query(TEXTS), atol=1e-5)
    assert np.allclose(ours.documents(TEXTS), theirs.encode_document(TEXTS), atol=1e-5)
    assert not np.allclose(ours.queries(TEXTS), ours.documents(TEXTS), atol=1e-3)


def test_older_configs_name_the_pooling_by_flags(tmp_path):
    folder, theirs = sentence_model(tmp_path, "max", dense=False)
    flags = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    assert np.allclose(SentenceEncoder.load(str(folder), "cpu").documents(TEXTS), theirs.encode(TEXTS), atol=1e-5)


def test_the_transformer_may_be_in_a_folder_of_its_own(tmp_path):
    folder, theirs = sentence_model(tmp_path)
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        path.rename(inner / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = inner.name
    (folder / "modules.json").write_text(json.dumps(modules))
    assert is_text_encoder(str(folder))
    assert np.allclose(SentenceEncoder.load(str(folder), "cpu").documents(TEXTS), theirs.encode(TEXTS), atol=1e-5)


def test_a_plain_transformer_is_averaged(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = bert(tmp_path / "plain")
    assert is_text_encoder(str(folder))
    theirs = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert np.allclose(SentenceEncoder.load(str(folder), "cpu").documents(TEXTS), theirs, atol=1e-5)


@pytest.mark.parametrize("spoilt", ["pickle", "own code", "sparse", "activation", "truncated"])
def test_what_cannot_be_read_is_one_error(tmp_path, spoilt):
    folder, _ = sentence_model(tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    if spoilt == "pickle":
        (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    if spoilt == "activation":
        config = json.loads((folder / "2_Dense" / "config.json").read_text())
        (folder / "2_Dense" / "config.json").write_text(json.dumps({**config, "activation_function": "os.system"}))
    if spoilt in ("own code", "sparse"):
        modules[1]["type"] = {"own code": "custom.Pooling", "sparse": "sentence_transformers.models.BoW"}[spoilt]
    (folder / "modules.json").write_text("[{" if spoilt == "truncated" else json.dumps(modules))
    with pytest.raises(VdistillError) as caught:
        SentenceEncoder.load(str(folder), "cpu")
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message


def test_text_models_and_dual_encoders_are_told_apart(tmp_path, clip_folder, siglip_folder):
    folder, _ = sentence_model(tmp_path)
    assert is_text_encoder(str(folder))
    assert not any(map(is_text_encoder, map(str, (clip_folder, siglip_folder, tmp_path / "nothing"))))


def test_they_stand_in_the_table(home, tmp_path, clip_folder):
    text_model, _ = sentence_model(tmp_path)
    open_clip = open_clip_models.clip(tmp_path / "marqo")
    wrapped = tmp_path / "st-clip"
    shutil.copytree(clip_folder, wrapped / "0_CLIPModel")
    (wrapped / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}])
    )
    given = [part for folder in (text_model, open_clip, wrapped) for part in ("--against", folder)]
    done = vdistill("bench", *given, "--json", "--report", tmp_path / "page.html", cwd=home)
    assert done.code == 0, done.err
    found = done.json["models"]
    assert list(found) == ["backbone", "marqo", "st-clip", "bm25", "saved", "student", "teacher"]
    assert found["st-clip"] == pytest.approx(found["backbone"], abs=0.02)  # whose index is in bf16
    assert 0 < found["saved"]["ndcg@10"] <= 1
    assert "literal_recall@1" not in found["saved"]
    assert "saved" in (tmp_path / "page.html").read_text()


def test_code_that_comes_with_a_model_is_never_run(home, tmp_path):
    folder = bert(tmp_path / "own")
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "nobody_knows", "auto_map": {"AutoModel": "modeling.Own"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "modeling.py").write_text("raise SystemExit('was run')")
    error, hint = errors(vdistill("bench", "--against", folder, cwd=home))
    assert "nobody_knows" in error
    assert "own code" in hint
