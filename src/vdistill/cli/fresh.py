"""An index that is missing or stale is built before it is searched, with a notice on stderr."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vdistill.bundle.early import EarlySessions
from vdistill.cli.session import Session, pick_backbone, remembered
from vdistill.encoders.student import provenance, same_provenance
from vdistill.errors import VdistillError
from vdistill.images import DECODER_VERSION
from vdistill.programs import environment, program
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.query.search import Searcher


def open_searchers(
    session: Session,
    workspace: Workspace,
    models: Sequence[str],
    backbone: str | None = None,
    *,
    by_text: bool = True,
    many: bool = False,
) -> dict[str, Searcher]:
    """The searchers of up-to-date indexes, by model. Raises VdistillError where one cannot be built.

    by_text: texts are searched for, so their encoder is opened at once.
    many: many texts are, so it is one that all models share, which takes several at a time.
    """
    reasons = {model: reason for model in models if (reason := stale(workspace, model, backbone))}
    for reason in reasons.values():
        if remembered(workspace, "catalog") is None:
            raise VdistillError(f"{reason}, and no catalog is known", hint="run `vdistill index CATALOG` first")
        session.say(f"{reason}: indexing first")
    if reasons:
        _index(session, workspace, list(reasons), backbone)
    found = _sharing(workspace, models) if many else _opened(workspace, models, by_text=by_text)
    if any(searcher.manifest.decoder != DECODER_VERSION for searcher in found.values()):
        session.say("an older version read some images differently: `vdistill index` embeds them all again")
    return found


def _opened(workspace: Workspace, models: Sequence[str], *, by_text: bool) -> dict[str, Searcher]:
    from vdistill.query.search import Searcher

    early = EarlySessions(workspace.index, models) if by_text else None
    return {model: Searcher.at(workspace.index, model, early) for model in models}


def _sharing(workspace: Workspace, models: Sequence[str]) -> dict[str, Searcher]:
    from vdistill.bundle.store import Store
    from vdistill.query.search import Searcher
    from vdistill.query.shared_texts import TextEncoders

    encoders = TextEncoders()
    stores = {model: Store.open(workspace.index, model) for model in models}
    return {model: Searcher(store, model, texts=encoders.of(store)) for model, store in stores.items()}


def stale(workspace: Workspace, model: str, backbone: str | None = None) -> str | None:
    """Why the index of this model must be built before it can be searched; None where it is up to date."""
    from vdistill.bundle.manifest import made_from

    found = made_from(workspace.index, model)
    if found is None:
        provenance(workspace, model, "")  # raises where there is no student
        return f"no index of the {model} yet"
    wanted = provenance(workspace, model, pick_backbone(workspace, backbone))
    return None if same_provenance(found, wanted) else f"the index was made from another {model}"


# One process for all of them, so that torch is imported once.
_PROGRAM = """
import json, sys
from vdistill.cli import main
sys.exit(next((code for code in map(main, json.loads(sys.argv[1])) if code), 0))
"""


def _index(session: Session, workspace: Workspace, models: Sequence[str], backbone: str | None) -> None:
    """Index in a process of its own: this one stays without torch."""
    common = ["--workspace", str(workspace.root)]
    common += ["--backbone", backbone] if backbone else []
    common += ["--quiet"] if session.quiet else []
    code = _in_another_process([["index", "--model", model, *common] for model in models])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise VdistillError(
            "the index could not be built", hint="the reason is printed above; `vdistill index` tries again"
        )


def _in_another_process(commands: Sequence[Sequence[str]]) -> int:
    """Run commands up to the first that fails, whose exit code is returned; only their stderr is seen."""
    import subprocess

    command = program(_PROGRAM, json.dumps(commands))
    return subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=False).returncode
