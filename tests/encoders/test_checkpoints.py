"""Checkpoints as they are published: each is read whole, converted, or refused by name; none runs on noise."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from command_line import errors, vdistill, write_scores
from vdistill.bundle.manifest import made_from
from vdistill.database import Database
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.errors import VdistillError
from vdistill.query.search import Searcher
from vdistill.workspace import writing


@pytest.fixture
def clip_copy(clip_folder, tmp_path):
    """A folder with a CLIP of the true class that a test may change."""
    return shutil.copytree(clip_folder, tmp_path / "backbone")


def change(folder, *, config=None, weights=None):
    """Write the same checkpoint with other facts in its config.json, and other tensors."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}))
    if weights is not None:
        save_file(weights(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def own_code(name):
    return {"auto_map": {"AutoConfig": f"configuration_{name}.Config", "AutoModel": f"modeling_{name}.Model"}}


def marqo_like(tensors):
    """A wrapper around another library's model: not one name is known."""
    return {f"model.visual.trunk.{number}.weight": tensor for number, tensor in enumerate(tensors.values())}


def eva_like(tensors):
    """CLIP's names, but keys without bias and no norm before the blocks."""
    return {
        name: tensor for name, tensor in tensors.items() if "k_proj.bias" not in name and "pre_layrnorm" not in name
    }


def llm2clip_like(tensors):
    """CLIP with the text projection of a language model: four are missing, of 78."""
    gone = ("text_projection.weight", "final_layer_norm.weight", "final_layer_norm.bias", "position_embedding.weight")
    kept = {name: tensor for name, tensor in tensors.items() if not (name.startswith("text") and name.endswith(gone))}
    return {**kept, "text_adapter.proj.weight": torch.zeros(3, 3)}


def more_than_clip(tensors):
    return {**tensors, "text_model.adapter.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize("weights", [marqo_like, eva_like, llm2clip_like, more_than_clip])
@pytest.mark.parametrize("command", ["index", "label"])
def test_a_checkpoint_with_code_of_its_own_is_refused_not_filled_with_noise(
    clip_copy, catalog, tmp_path, weights, command
):
    change(clip_copy, config=own_code("any"), weights=weights)
    guided = ["--guide", "backbone", "--teacher", "metadata"] if command == "label" else []
    error, hint = errors(vdistill(command, catalog, "--backbone", clip_copy, *guided, cwd=tmp_path))
    assert "of a CLIPModel" in error or "that a CLIPModel" in error
    assert "auto_map" in hint


def test_missing_weights_are_named(clip_copy, catalog, tmp_path):
    change(clip_copy, weights=lambda old: {name: old[name] for name in old if name != "visual_projection.weight"})
    error, hint = errors(vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path))
    assert "lacks 1 of the" in error
    assert "visual_projection.weight" in error
    assert "download them again" in hint


def test_weights_of_another_size_are_named(clip_copy, catalog, tmp_path):
    change(clip_copy, weights=lambda old: {**old, "visual_projection.weight": torch.zeros(5, 32)})
    error, _ = errors(vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path))
    assert "visual_projection.weight (5, 32) instead of (16, 32)" in error


def test_code_beside_complete_weights_is_left_alone(clip_copy, catalog, tmp_path):
    change(clip_copy, config=own_code("any"))
    assert vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path).code == 0


def test_a_teacher_that_lacks_weights_is_refused_too(catalog, tmp_path):
    import vlm_models

    teacher = change(vlm_models.qwen2_vl(tmp_path / "teacher"), config=own_code("vlm"))
    tensors = load_file(teacher / "model.safetensors")
    gone = [name for name in tensors if name.endswith("q_proj.weight")]
    assert gone
    change(teacher, weights=lambda old: {name: old[name] for name in old if name not in gone})
    (tmp_path / "queries.txt").write_text("a gift\n")
    error, hint = errors(
        vdistill("label", catalog, "--teacher", teacher, "--queries", "queries.txt", "--budget", 4, cwd=tmp_path)
    )
    assert "lacks" in error
    assert "auto_map" in hint


def test_a_sentence_encoder_that_lacks_weights_is_refused_and_a_pooler_is_not_missed(catalog, tmp_path):
    from transformers import BertConfig, BertModel

    import models

    reader = tmp_path / "reader"
    torch.manual_seed(0)
    BertModel(BertConfig(**models.TOWER, vocab_size=300), add_pooling_layer=False).save_pretrained(reader)
    models._bert_tokenizer().save_pretrained(reader)
    (tmp_path / "queries.txt").write_text("a gift\na mug\na lamp\n")
    asked = ["label", catalog, "--teacher", f"metadata:{reader}", "--queries", "queries.txt", "--budget", 4]
    done = vdistill(*asked, cwd=tmp_path)
    assert done.code == 0, done.err
    change(reader, weights=lambda old: {name: old[name] for name in old if "query" not in name})
    assert "attention.self.query" in errors(vdistill(*asked, cwd=tmp_path))[0]


def refused(backbone, catalog, cwd):
    return errors(vdistill("index", catalog, "--backbone", backbone, cwd=cwd))


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2"])
def test_a_folder_without_tokenizer_files_is_refused(name, request, catalog, tmp_path):
    folder = shutil.copytree(request.getfixturevalue(f"{name}_folder"), tmp_path / "backbone")
    for path in [*folder.glob("*token*"), *folder.glob("spiece*"), *folder.glob("vocab*"), *folder.glob("merges*")]:
        path.unlink()
    error, hint = refused(folder, catalog, tmp_path)
    assert "tokenizer" in error
    assert "tokenizer.json" in hint


def test_the_tokenizer_of_a_much_smaller_model_is_refused(siglip2_folder, clip_copy, catalog, tmp_path):
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig.from_pretrained(clip_copy)
    config.text_config.vocab_size = 49408
    CLIPModel(config).save_pretrained(clip_copy)
    error, _ = refused(clip_copy, catalog, tmp_path)
    assert "49,408" in error


def test_a_tokenizer_with_more_entries_than_the_model_is_refused(clip_copy, catalog, tmp_path):
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig.from_pretrained(clip_copy)
    config.text_config.vocab_size = 330
    CLIPModel(config).save_pretrained(clip_copy)
    error, _ = refused(clip_copy, catalog, tmp_path)
    assert "entries, its model 330" in error


def test_a_fixed_resolution_siglip2_reads_lower_case(tmp_path, catalog):
    import models

    folder = models.siglip2_fixed(tmp_path / "backbone")
    assert vdistill("index", catalog, "--backbone", folder, "--dtype", "f32", cwd=tmp_path).code == 0
    small, large = (vdistill("query", text, "--json", cwd=tmp_path).json for text in ("gift for mum", "Gift for MUM"))
    assert small["results"] == large["results"]


def test_a_checkpoint_of_sentence_transformers_is_opened_in_its_folder(clip_folder, tmp_path, catalog):
    backbone = tmp_path / "clip-ViT-B-32"
    shutil.copytree(clip_folder, backbone / "0_CLIPModel")
    modules = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]
    (backbone / "modules.json").write_text(json.dumps(modules))
    done = vdistill("index", catalog, "--backbone", backbone, cwd=tmp_path)
    assert done.code == 0, done.err
    change(backbone / "0_CLIPModel", weights=lambda old: {name: 2 * part for name, part in old.items()})
    asked = vdistill("query", "red mug", cwd=tmp_path)
    assert "the index was made from another backbone" in asked.err


def test_a_text_tower_alone_is_named(tmp_path, catalog):
    from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel

    import models

    BertModel(BertConfig(**models.TOWER, vocab_size=300)).save_pretrained(tmp_path / "bert")
    CLIPTextModel(CLIPTextConfig(**models.TOWER, vocab_size=300)).save_pretrained(tmp_path / "text")
    for folder in ("bert", "text"):
        error, _ = refused(tmp_path / folder, catalog, tmp_path)
        assert "it has no image tower" in error


def test_a_kind_that_needs_its_own_code_is_named(tmp_path, catalog):
    folder = tmp_path / "jina-clip"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "jina_clip", **own_code("clip")}))
    error, hint = refused(folder, catalog, tmp_path)
    assert "is a jina_clip model, which transformers does not know" in error
    assert "auto_map" in hint
    (folder / "config.json").write_text(json.dumps({"model_type": "jina_clip"}))
    assert "a newer transformers" in refused(folder, catalog, tmp_path)[1]


def test_missing_image_settings_are_named(clip_copy, catalog, tmp_path):
    (clip_copy / "preprocessor_config.json").unlink()
    error, hint = refused(clip_copy, catalog, tmp_path)
    assert "has no preprocessor_config.json" in error
    assert "copy that file" in hint


@pytest.mark.parametrize("key", [{}, {"image_processor_type": "BitImageProcessor"},
                                 {"feature_extractor_type": "CLIPFeatureExtractor"}])  # fmt: skip
def test_image_settings_of_any_age_are_read_and_merged_under_todays_names(clip_copy, catalog, tmp_path, key):
    path = clip_copy / "preprocessor_config.json"
    settings = {name: value for name, value in json.loads(path.read_text()).items() if not name.endswith("_type")}
    path.write_text(json.dumps({**settings, **key, "size": 32, "crop_size": 32}))
    config = json.loads((clip_copy / "tokenizer_config.json").read_text())
    (clip_copy / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 10**30}))
    taught(tmp_path, catalog, clip_copy)
    done = vdistill("distill", "--merge", "merged", cwd=tmp_path)
    assert done.code == 0, done.err
    from transformers import AutoImageProcessor, AutoTokenizer

    assert AutoImageProcessor.from_pretrained(tmp_path / "merged")
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").model_max_length == 77


def taught(home, catalog, backbone):
    """A workspace with a student of this backbone, trained for a moment."""
    write_scores(home, sorted(path.name for path in catalog.glob("*.png")))
    label = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone",
                     backbone, "--images-per-call", 4, "--budget", 60, cwd=home)  # fmt: skip
    assert label.code == 0, label.err
    done = vdistill("distill", "--epochs", 1, "--rank", 4, "--lr", 0.01, cwd=home)
    assert done.code == 0, done.err


def test_a_student_is_bound_to_its_backbone(clip_copy, catalog, tmp_path):
    taught(tmp_path, catalog, clip_copy)
    assert vdistill("query", "red mug", cwd=tmp_path).code == 0
    facts = tmp_path / ".vdistill" / "student" / "student.json"
    older = json.loads(facts.read_text())
    del older["backbone_identity"]  # which students of before do not have
    facts.write_text(json.dumps(older))
    assert vdistill("index", cwd=tmp_path).code == 0
    change(clip_copy, weights=lambda old: {name: part + 0.1 for name, part in old.items()})
    for command in (["index"], ["distill", "--merge", "merged"]):
        error, hint = errors(vdistill(*command, cwd=tmp_path))
        assert "was trained on another" in error
        assert "vdistill distill" in hint
    asked = vdistill("query", "red mug", cwd=tmp_path)
    assert asked.code == 1, "an index of the former backbone answers no more"
    assert "the index was made from another student" in asked.err
    assert not (tmp_path / "merged").exists()


def test_a_student_is_bound_to_what_was_held_out(clip_folder, catalog, tmp_path):
    taught(tmp_path, catalog, clip_folder)
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        database.remember("holdout", 0.4)
    for command in (["index"], ["bench"]):
        error, hint = errors(vdistill(*command, cwd=tmp_path))
        assert "--holdout 0.2" in error
        assert "vdistill distill" in hint


def test_an_index_from_before_backbones_were_named_still_answers(clip_folder, catalog, tmp_path):
    taught(tmp_path, catalog, clip_folder)
    assert vdistill("index", cwd=tmp_path).code == 0
    path = tmp_path / ".vdistill" / "index" / "manifest.json"
    named = made_from(path.parent, "student")
    path.write_text(path.read_text().replace(named, named[:64]))
    asked = vdistill("query", "red mug", cwd=tmp_path)
    assert asked.code == 0
    assert "indexing" not in asked.err
    assert vdistill("index", cwd=tmp_path).code == 0
    assert made_from(path.parent, "student") == named, "the next `index` names it"


def test_a_merge_that_another_program_cannot_open_is_not_published(clip_copy, catalog, tmp_path, monkeypatch):
    from transformers import AutoImageProcessor

    taught(tmp_path, catalog, clip_copy)

    def broken(*_, **__):
        raise ValueError("no such image processor")

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", broken)
    error, _ = errors(vdistill("distill", "--merge", "merged", cwd=tmp_path))
    assert "transformers cannot open the merged checkpoint: no such image processor" in error
    assert not (tmp_path / "merged").exists()


def test_what_a_hub_client_raises_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(OSError, match="timed out"), writing(tmp_path):
        raise OSError("the hub timed out")
    with pytest.raises(VdistillError, match="cannot write"), writing(tmp_path):
        raise OSError(28, "No space left on device")


def test_a_text_is_read_alone_as_it_is_beside_a_longer_one(tmp_path, catalog):
    import models

    folder = models.aimv2(tmp_path / "backbone")
    encoder = DualEncoder.load(str(folder), device="cpu", precision="fp32")
    alone, beside = encoder.encode_texts(["red mug"]), encoder.encode_texts(["red mug", "a gift for a mother"])[:1]
    assert float((alone * beside).sum()) > 0.99999
    done = vdistill("index", catalog, "--backbone", folder, cwd=tmp_path)
    assert done.code == 0, done.err
    with Searcher.open(tmp_path) as searcher:
        assert float((searcher.encode(["red mug"]) * alone).sum()) > 0.9999


def test_without_network_there_is_one_error_and_one_hint(tmp_path, catalog):
    script = (
        "import sys, time; time.sleep = lambda _: None; from vdistill.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "index", str(catalog), "--backbone", "nobody/nothing"], cwd=tmp_path,
        capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.strip().splitlines()] == ["error", "hint"], done.stderr
