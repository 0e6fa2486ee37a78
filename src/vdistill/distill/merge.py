"""The student as a checkpoint of its own, for programs that know nothing of adapters."""

from __future__ import annotations

import json
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.pretrained import image_processor_config, quiet_transformers
from vdistill.student import open_student
from vdistill.workspace import Workspace, replacing_folder, write_file, writing

# sentence-transformers opens a CLIP by this; it opens other dual encoders through transformers' own classes.
_MODULES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.CLIPModel"}]


def write(workspace: Workspace, folder: Path) -> None:
    """Merge the adapter into the backbone and write model, tokenizer and image processor into `folder`.

    Raises VdistillError where there is no student, or where `folder` holds anything but such a checkpoint.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / "config.json").is_file())):
        raise VdistillError(f"{folder} is there and no checkpoint", hint="give a new folder")
    encoder = open_student(workspace, device="cpu", precision="fp32")
    with replacing_folder(folder) as aside, writing(folder), quiet_transformers():
        encoder.model.save_pretrained(aside)
        encoder.tokenizer.save_pretrained(aside)
        config = image_processor_config(encoder.source)
        write_file(aside / "preprocessor_config.json", json.dumps(config, indent=2) + "\n")
        if encoder.model.config.model_type == "clip":
            write_file(aside / "modules.json", json.dumps(_MODULES, indent=2) + "\n")
