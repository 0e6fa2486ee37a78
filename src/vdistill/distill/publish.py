"""What comes out of a training: the adapter folder with its card and curve, and merged checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vdistill.distill import card, curve
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.pretrained import quiet_peft, quiet_transformers
from vdistill.encoders.student import SCHEMA_VERSION, adapter_file
from vdistill.images import file_sha256
from vdistill.workspace import Workspace, replacing_folder, write_file, writing


def student(workspace: Workspace, encoder: DualEncoder, facts: dict[str, Any]) -> None:
    """Write the adapter folder aside and put it in place of the old one."""
    with replacing_folder(workspace.student) as folder, writing(workspace.student):
        with quiet_peft(), quiet_transformers():
            encoder.model.save_pretrained(folder, safe_serialization=True)
        facts = {"schema_version": SCHEMA_VERSION, **facts, "adapter_sha256": file_sha256(adapter_file(folder))}
        write_file(folder / "student.json", json.dumps(facts, indent=2) + "\n")
        write_file(folder / curve.FILE, curve.image(facts["history"]))
        write_file(folder / "README.md", card.render(facts))


def portable(backbone: str) -> str:
    """A folder is remembered by its full path, a hub id as it is."""
    return str(Path(backbone).resolve()) if Path(backbone).is_dir() else backbone
