"""What the processes of a training tell one another before it begins, and what those do that do not lead."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vdistill import __version__
from vdistill.database import Database
from vdistill.distill.distributed import Processes
from vdistill.distill.job import Job, Where, tower_maker
from vdistill.distill.lesson import Images, learned, own_images
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.errors import VdistillError
from vdistill.images import DECODER_VERSION
from vdistill.sources import is_remote, shown
from vdistill.workspace import Workspace

PACKAGES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the first process has decided: the settings, and where it has backbone and catalog."""

    settings: DistillSettings
    backbone: str
    catalog: str


def agree(processes: Processes, plan: Plan | None, say: Say) -> Plan:
    """The plan of the first process, which alone gives one. Raises VdistillError where versions differ."""
    if plan is not None and processes.size == 1:
        return plan
    packages = {name: version(name) for name in PACKAGES}
    versions = {"vdistill": __version__, **packages, "images": str(DECODER_VERSION)}
    mine = {"host": socket.gethostname(), "versions": versions, "plan": plan and asdict(plan)}
    first, *others = (json.loads(text) for text in processes.texts(json.dumps(mine)))
    for rank, other in enumerate(others, start=1):
        for name in sorted({*first["versions"], *other["versions"]}):
            _same(f"{name} {{}}", first, other, rank, first["versions"].get(name), other["versions"].get(name))
    if processes.leads:
        say(f"{processes.size} processes on {', '.join(sorted({one['host'] for one in (first, *others)}))}")
    decided = first["plan"]
    return Plan(DistillSettings(**decided["settings"]), decided["backbone"], decided["catalog"])


def same_model(processes: Processes, encoder: DualEncoder) -> None:
    """Raise VdistillError where the processes have other backbones, or multiply in another precision."""
    if processes.size == 1:
        return
    mine = {"host": socket.gethostname(), "fingerprint": encoder.fingerprint, "precision": encoder.precision}
    first, *others = (json.loads(text) for text in processes.texts(json.dumps(mine)))
    for rank, other in enumerate(others, start=1):
        _same("precision {}", first, other, rank, first["precision"], other["precision"])
        if first["fingerprint"] != other["fingerprint"]:
            raise VdistillError(
                f"the backbone of process {rank} on {other['host']} has other weights than that of process 0",
                hint="give each node the same --backbone",
            )


def assist(workspace: Workspace, where: Where, copy: str | None, say: Say) -> None:
    """Train with the first process, which reads and writes everything but the images and the cache of frozen layers.

    copy: where this node has its copy of the catalog; None for where the workspace or the first process has it.
    """
    processes = where.processes
    plan = agree(processes, None, say)
    where = replace(where, backbone=where.backbone or _found_here(plan.backbone))
    encoder = DualEncoder.load(where.backbone, device=where.device, precision=where.precision)
    same_model(processes, encoder)
    images = Images(*json.loads(processes.told()))
    files = own_images(_catalog(workspace, copy, plan), images, workspace.cache, say)
    processes.wait()
    towers = tower_maker(workspace, where, encoder, plan.settings)
    data = learned(towers, files, images, processes)
    job = Job(workspace, where, None, towers, data, _nothing, _nothing, _nothing)
    processes.wait()  # until the first has forgotten what it was told to
    job.outcomes(plan.settings)
    processes.wait()  # until it has measured and published


def show_images(processes: Processes, ids: Sequence[str], sha256: Sequence[str]) -> None:
    """From the first process: which images train. Raises VdistillError where another process has others."""
    if processes.size > 1:
        processes.told(Images(ids, sha256).to_json())
        processes.wait()  # until all have found them


def _found_here(backbone: str) -> str:
    """The backbone of the first process. Raises VdistillError for a folder that is not on this node."""
    if Path(backbone).is_absolute() and not Path(backbone).is_dir():
        raise VdistillError(
            f"no backbone folder {backbone} on {socket.gethostname()}",
            hint="copy it there, or name the copy with --backbone DIR",
        )
    return backbone


def _catalog(workspace: Workspace, copy: str | None, plan: Plan) -> str:
    """The catalog of this node. Raises VdistillError where there is none."""
    with Database.existing(workspace) as database:
        known = database.setting("catalog") if database else None
    found = [str(one) for one in (copy, known, plan.catalog) if one is not None]
    root = found[0] if copy else next((one for one in found if _there(one)), found[-1])
    if not _there(root):
        raise VdistillError(
            f"no catalog {shown(root)} on {socket.gethostname()}",
            hint="copy the catalog of the first process there, or name the copy with --node-catalog DIR",
        )
    return root


def _there(catalog: str) -> bool:
    """Whether this node has a catalog; one that is elsewhere is found out when it is listed."""
    return is_remote(catalog) or Path(catalog).exists()


def _same(what: str, first: dict[str, Any], other: dict[str, Any], rank: int, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise VdistillError(
            f"process 0 on {first['host']} has {what.format(ours)}, process {rank} on {other['host']} has "
            f"{what.format(theirs)}",
            hint="install the same versions on every node" if "precision" not in what else "give --precision fp32",
        )


def _nothing(_: object) -> None: ...
