"""The student as a checkpoint of its own, for programs that know nothing of adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vdistill.distill.merged import require_opened
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.pretrained import image_processor_config, load_errors, quiet_transformers
from vdistill.encoders.student import open_student, read_info
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace, replacing_folder, write_file, writing

MARK = "vdistill.json"  # what the checkpoint was made from, and the sign that it may be replaced

# sentence-transformers 6 opens other dual encoders by itself, but pads their texts to the longest, and masks that.
_CLIP = "sentence_transformers.models.CLIPModel"
_ANY = "sentence_transformers.base.modules.transformer.Transformer"


def write(workspace: Workspace, folder: Path) -> None:
    """Merge the adapter into the backbone and write model, tokenizer and image processor into `folder`.

    Raises VdistillError where there is no student, or where `folder` holds anything that was not written here: it is
    replaced as a whole, and a backbone looks just like a merged student.
    """
    ours = folder.is_dir() and (not any(folder.iterdir()) or (folder / MARK).is_file())
    if folder.exists() and not ours:
        raise VdistillError(f"{folder} holds something else than a merged student", hint="give a new folder")
    encoder = open_student(workspace, device="cpu", precision="fp32")
    info = read_info(workspace)
    made_from = {"backbone": encoder.source, "adapter_sha256": info.adapter_sha256 if info else ""}
    with load_errors(encoder.source):
        contents = {"preprocessor_config.json": _of_today(image_processor_config(encoder.source), encoder)}
    contents |= {MARK: made_from, **_for_sentence_transformers(encoder)}
    encoder.tokenizer.model_max_length = encoder.max_text_length
    encoder.model.config.__dict__.pop("auto_map", None)  # code that does not come along
    with replacing_folder(folder) as aside, quiet_transformers():
        with writing(folder):
            encoder.model.save_pretrained(aside)
            encoder.tokenizer.save_pretrained(aside)
            for name, content in contents.items():
                write_file(aside / name, json.dumps(content, indent=2) + "\n")
        require_opened(aside, encoder)


def _of_today(config: dict[str, Any], encoder: DualEncoder) -> dict[str, Any]:
    """The settings under the name that image processors have now."""
    kept = {name: value for name, value in config.items() if name not in ("feature_extractor_type", "auto_map")}
    return {**kept, "image_processor_type": encoder.preprocessing.kind}


def _for_sentence_transformers(encoder: DualEncoder) -> dict[str, Any]:
    """The files by which sentence-transformers opens the model as it was trained."""
    padded = encoder.text_padding == "max_length"
    if not padded and encoder.model.config.model_type != "clip":
        return {}
    modules = [{"idx": 0, "name": "0", "path": "", "type": _ANY if padded else _CLIP}]
    if not padded:
        return {"modules.json": modules}
    text = {
        "padding": "max_length",
        "max_length": encoder.max_text_length,
        "truncation": True,
        "return_attention_mask": False,
    }
    methods = {
        kind: {"method": f"get_{kind}_features", "method_output_name": "pooler_output"} for kind in ("text", "image")
    }
    settings = {
        "transformer_task": "feature-extraction",
        "modality_config": methods,
        "module_output_name": "sentence_embedding",
        "processing_kwargs": {"text": text},
    }
    return {"modules.json": modules, "sentence_bert_config.json": settings}
