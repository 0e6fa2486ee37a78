"""The student on disk: a standard PEFT adapter folder with `student.json`, which says what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.errors import VdistillError
from vdistill.images import edges_sha256
from vdistill.workspace import Workspace, read_json

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.encoders.item_head import ItemHead

SCHEMA_VERSION = 1
_STAMP = " files "  # between a local backbone and the hash of its files
_SHA256 = 64  # letters
_WITH = " with "  # between a student's adapter and its item head
_ON = " on "  # between a student's adapter and its backbone
REMEDY = "run `vdistill distill` to train it again; judgments are not affected"


@dataclass(frozen=True, slots=True)
class StudentInfo:
    """What `student.json` says."""

    backbone: str
    backbone_fingerprint: str
    adapter_sha256: str
    holdout: float
    seed: int
    facts: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of all weights: of the adapter, and of the item head where there is one."""
        adapter, head = _weights(self), self.item_head_sha256
        return hashlib.sha256(f"{adapter}{head}".encode()).hexdigest() if head else adapter

    @property
    def item_head_sha256(self) -> str:
        """Hash of the item head's file; empty where an item's vector is that of its image alone."""
        return str(self.facts.get("item_head_sha256", ""))


def read_info(workspace: Workspace) -> StudentInfo | None:
    """The facts of the workspace's student, without torch; None where there is none.

    Raises VdistillError where the folder is damaged or was written by a newer version.
    """
    if not workspace.student.is_dir():
        return None
    facts = read_json(workspace.student / "student.json", "the student", REMEDY)
    try:
        if facts["schema_version"] > SCHEMA_VERSION:
            raise VdistillError(
                f"{workspace.student} was made by a newer vdistill", hint="upgrade: pip install --upgrade vdistill"
            )
        known = {field.name: facts[field.name] for field in fields(StudentInfo) if field.name != "facts"}
        return StudentInfo(**known, facts=facts)
    except (KeyError, TypeError) as error:
        raise VdistillError(
            f"the student is damaged: {workspace.student}/student.json lacks {error}", hint=REMEDY
        ) from error


def open_student(workspace: Workspace, *, device: str = "auto", precision: str = "auto") -> DualEncoder:
    """The backbone with the student's adapter merged into it.

    Raises VdistillError where there is no student, it is damaged, or its backbone is not the one it was trained on.
    """
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.images import file_sha256

    info = read_info(workspace)
    if info is None:
        raise VdistillError("there is no student yet", hint="run `vdistill distill` first, or use --model backbone")
    weights = adapter_file(workspace.student)
    if not weights.is_file() or file_sha256(weights) != info.adapter_sha256:
        raise VdistillError(f"the student is damaged: {weights} has changed since training", hint=REMEDY)
    require_same_holdout(workspace, info)
    encoder = DualEncoder.load(info.backbone, device=device, precision=precision)
    _require_bound(info, encoder)
    return encoder.adapted(workspace.student)


def open_item_head(workspace: Workspace, model: str = "student") -> ItemHead | None:
    """The item head of the student, without torch; None for the backbone, and where the image alone makes the vector.

    Raises VdistillError where it is damaged.
    """
    from vdistill.encoders import item_head
    from vdistill.images import file_sha256

    info = read_info(workspace) if model == "student" else None
    if info is None or not info.item_head_sha256:
        return None
    path = workspace.student / item_head.FILE
    if not path.is_file() or file_sha256(path) != info.item_head_sha256:
        raise VdistillError(f"the student is damaged: {path} has changed since training", hint=REMEDY)
    return item_head.ItemHead.load(path, REMEDY)


def require_same_holdout(workspace: Workspace, info: StudentInfo) -> None:
    """Raise VdistillError where the workspace holds out another share than the student was trained with.

    What is held out now may have been trained on then. Without torch.
    """
    from vdistill.database import Database

    if not workspace.database.is_file():
        return
    with Database.open(workspace.database, write=False) as database:
        now = database.setting("holdout")
    if now is not None and float(now) != float(info.holdout):
        raise VdistillError(
            f"the student was trained with --holdout {info.holdout:g}, and the workspace holds out {float(now):g}",
            hint=f"it may have been trained on what is held out now: {REMEDY}",
        )


def _require_bound(info: StudentInfo, backbone: DualEncoder) -> None:
    """Raise VdistillError where `backbone` is not the one that the student's adapter was trained on."""
    known = info.facts.get("backbone_identity")
    if known != backbone.identity if known else info.backbone_fingerprint != backbone.fingerprint:
        raise VdistillError(
            f"the student was trained on another {info.backbone}: weights, tokenizer or image settings have changed",
            hint=f"put the former files back, or {REMEDY}",
        )


def open_model(workspace: Workspace, model: str, backbone: str) -> DualEncoder:
    """The `student` of the workspace, or the `backbone`."""
    from vdistill.encoders.dual_encoder import DualEncoder

    return open_student(workspace) if model == "student" else DualEncoder.load(backbone)


def provenance(workspace: Workspace, model: str, backbone: str) -> str:
    """What an up-to-date index of this model is made from; without torch."""
    if model == "backbone":
        return _stamped(backbone)
    info = read_info(workspace)
    if info is None:
        raise VdistillError("there is no student yet", hint="run `vdistill distill` first, or use --model backbone")
    head = f"{_WITH}{info.item_head_sha256}" if info.item_head_sha256 else ""
    return f"{_weights(info)}{head}{_ON}{_stamped(info.backbone)}"


def strength_of(facts: Mapping[str, Any]) -> float:
    """What a student's adapter is scaled by, from its `student.json`; 1 for those of before there was a choice."""
    return float(facts.get("strength", 1.0))


def same_provenance(found: str, wanted: str) -> bool:
    """Whether an index made from `found` is up to date.

    Assumed where the backbone's folder is gone, or the index is of a version that did not record the backbone.
    """
    older = wanted[:_SHA256] if wanted[_SHA256:].startswith(_ON) else wanted
    return found in (wanted, older) or found.startswith(f"{wanted}{_STAMP}")


def _weights(info: StudentInfo) -> str:
    """The hash of the adapter as it is published: of its file where the strength is 1, as before there was a choice."""
    strength = strength_of(info.facts)
    if strength == 1:
        return info.adapter_sha256
    return hashlib.sha256(f"{info.adapter_sha256} at {strength!r}".encode()).hexdigest()


def _stamped(backbone: str) -> str:
    """A hub id unchanged; a local folder with a hash of its files' sizes, starts and ends, which copies share."""
    if not Path(backbone).is_dir():
        return backbone
    folders = [Path(backbone), *sorted(path for path in Path(backbone).glob("[0-9]_*") if path.is_dir())]
    files = [
        (str(path.relative_to(backbone)), path.stat().st_size, edges_sha256(path))
        for folder in folders  # sentence-transformers puts the model into a subfolder
        for path in sorted(folder.iterdir())
        if path.is_file()
    ]
    return f"{backbone}{_STAMP}{hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]}"


def last_validated(history: Sequence[Mapping[str, float]]) -> float | None:
    """The epoch after which a training went on with all judgments; None where it did not."""
    validated = [figures["epoch"] for figures in history if "validation_ndcg@10" in figures]
    return validated[-1] if 0 < len(validated) < len(history) else None


def adapter_file(folder: Path) -> Path:
    """The weights in a PEFT folder."""
    return folder / "adapter_model.safetensors"
