"""Where `vdistill index` puts vectors beside its own index: into a database, and into a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.cli import console, parts
from vdistill.cli.session import Session
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.bundle.store import Store
    from vdistill.databases.address import Address


@dataclass(frozen=True)
class Outputs:
    """A database, a file, or both."""

    address: Address | None
    file: Path | None

    @classmethod
    def checked(cls, to: str | None, file: Path | None) -> Outputs | None:
        """None where nothing was asked for. Raises VdistillError for what could not be written to anyway."""
        if to is None and file is None:
            return None
        from vdistill.databases.address import parse
        from vdistill.databases.export import check_name

        if file is not None:
            check_name(file)
            if file.suffix.lower() == ".parquet":
                parts.require("pyarrow")
        address = None if to is None else parse(to)
        if address is not None:
            from vdistill.databases.push import check

            check(address)
        return cls(address, file)

    def write(self, session: Session, workspace: Workspace, model: str) -> dict[str, dict[str, Any]]:
        """Write from the index of `model`; what was done, by the name of the option."""
        from vdistill.bundle.store import Store

        store, written = Store.open(workspace.index, model), {}
        try:
            if self.file is not None:
                from vdistill.databases.export import export

                written["export"] = export(store, model, self.file).to_json()
            if self.address is not None:
                written["to"] = _push(session, store, model, self.address)
        finally:
            store.close()
        return written


def _push(session: Session, store: Store, model: str, address: Address) -> dict[str, Any]:
    from vdistill.databases.push import push

    with console.progress(session.quiet) as update:
        return push(store, model, address, lambda done, total: update(done, total, f"to {address.shown}")).to_json()
