"""The student's folder: a PEFT adapter with its facts, its model card and its learning curve."""

from __future__ import annotations

import json
from typing import Any

from vdistill.distill.card import CURVE, card, learning_curve
from vdistill.distill.strength import configure
from vdistill.encoders import item_head
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.pretrained import quiet_peft, quiet_transformers
from vdistill.encoders.student import SCHEMA_VERSION, adapter_file
from vdistill.images import file_sha256
from vdistill.workspace import Workspace, replacing_folder, write_file, writing


def write_student(
    workspace: Workspace, encoder: DualEncoder, facts: dict[str, Any], head: ItemHead | None = None
) -> None:
    """Write the folder aside and put it in place of the old one. Raises VdistillError where the disk refuses.

    head: of a student whose items' vectors hold texts too.
    """
    with replacing_folder(workspace.student) as folder, writing(workspace.student):
        with quiet_peft(), quiet_transformers():
            encoder.model.save_pretrained(folder, safe_serialization=True)
        configure(folder, facts)
        facts = {"schema_version": SCHEMA_VERSION, **facts, "adapter_sha256": file_sha256(adapter_file(folder))}
        if head is not None:
            head.save(folder / item_head.FILE)
            facts["item_head_sha256"] = file_sha256(folder / item_head.FILE)
        write_file(folder / "student.json", json.dumps(facts, indent=2) + "\n")
        write_file(folder / CURVE, learning_curve(facts["history"]))
        write_file(folder / "README.md", card(facts))
