"""An index that is missing or stale is built before it is asked; said on stderr."""

import subprocess
import sys
from pathlib import Path

from vdistill.cli.session import Session, pick_backbone, remembered
from vdistill.encoders.student import provenance, same_provenance
from vdistill.errors import VdistillError
from vdistill.images import DECODER
from vdistill.query.search import Searcher
from vdistill.workspace import Workspace


def open_searcher(session: Session, workspace: Workspace, model: str, backbone: str | None = None) -> Searcher:
    """The searcher of an up-to-date index. Raises VdistillError where it cannot be built."""
    reason = stale(workspace, model, backbone)
    if reason:
        if remembered(workspace, "catalog") is None:
            raise VdistillError(f"{reason}, and no catalog is known", hint="run `vdistill index CATALOG` first")
        session.say(f"{reason}: indexing first")
        _index(session, workspace, model, backbone)
    searcher = Searcher.at(workspace.index, model)
    if searcher.manifest.decoder != DECODER:
        session.say("this index is of an older version, which misread some images: `vdistill index` embeds them anew")
    return searcher


def stale(workspace: Workspace, model: str, backbone: str | None = None) -> str | None:
    """Why the index of this model has to be built before it can answer, or None."""
    from vdistill.bundle.store import made_from

    found = made_from(workspace.index, model)
    if found is None:
        provenance(workspace, model, "")  # says so where there is no student
        return f"no index of the {model} yet"
    wanted = provenance(workspace, model, pick_backbone(workspace, backbone))
    return None if same_provenance(found, wanted) else f"the index is of another {model}"


def _index(session: Session, workspace: Workspace, model: str, backbone: str | None) -> None:
    """Index in a process of its own: this one stays without torch."""
    command = [sys.executable, "-m", "vdistill", "index", "--model", model, "--workspace", str(workspace.root)]
    command += ["--backbone", backbone] if backbone else []
    command += ["--quiet"] if session.quiet else []
    done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=Path.cwd(), check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise VdistillError(
            "the index could not be built", hint="the reason stands above; `vdistill index` tries again"
        )
