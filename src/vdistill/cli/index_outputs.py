"""Where `vdistill index` puts vectors beside its own index: into a database, a file of vectors, and a pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.cli import console, parts
from vdistill.cli.session import Session
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.bundle.store import Store
    from vdistill.databases.address import Address


@dataclass(frozen=True)
class Outputs:
    """A database, a file of vectors, a pack, or several of them.  thumbnails: go into the pack."""

    address: Address | None
    file: Path | None
    pack: Path | None
    thumbnails: bool

    @classmethod
    def checked(cls, to: str | None, file: Path | None, pack: Path | None, *, thumbnails: bool) -> Outputs | None:
        """None where nothing was asked for. Raises VdistillError for what could not be written to anyway."""
        if to is None and file is None and pack is None:
            return None
        from vdistill.databases.address import parse

        if file is not None:
            _check_file(file)
        if pack is not None:
            _check_pack(pack)
        address = None if to is None else parse(to)
        if address is not None:
            from vdistill.databases.push import check

            check(address)
        return cls(address, file, pack, thumbnails)

    def write(self, session: Session, workspace: Workspace, model: str) -> dict[str, dict[str, Any]]:
        """Write from the index of `model`; what was done, by the name of the option."""
        from vdistill.bundle.store import Store

        store, written = Store.open(workspace.index, model), {}
        try:
            if self.file is not None:
                from vdistill.databases.export import export

                written["export"] = export(store, model, self.file).to_json()
            if self.pack is not None:
                written["pack"] = self._packed(session, workspace, store, model, self.pack)
            if self.address is not None:
                written["to"] = _push(session, store, model, self.address)
        finally:
            store.close()
        return written

    def _packed(self, session: Session, workspace: Workspace, store: Store, model: str, pack: Path) -> dict[str, Any]:
        from vdistill.bundle.pack_writer import write_pack

        if self.thumbnails:
            session.cache_images()
        # No newer index takes the place of this one, and its files away, meanwhile.
        with workspace.lock("index"), console.progress(session.quiet) as update:
            return write_pack(
                store, model, pack, thumbnails=self.thumbnails,
                progress=lambda done, total: update(done, total, "thumbnails"),
            ).to_json()  # fmt: skip


def _check_file(file: Path) -> None:
    from vdistill.databases.export import check_name

    check_name(file)
    if file.suffix.lower() == ".parquet":
        parts.require("pyarrow")


def _check_pack(pack: Path) -> None:
    from vdistill.bundle.pack import SUFFIX

    if pack.suffix.lower() != SUFFIX or pack.is_dir():
        raise VdistillError(
            f"a pack is not called {pack.name}", hint=f"give a file that ends in {SUFFIX}: shop{SUFFIX}"
        )


def _push(session: Session, store: Store, model: str, address: Address) -> dict[str, Any]:
    from vdistill.databases.push import push

    with console.progress(session.quiet) as update:
        return push(store, model, address, lambda done, total: update(done, total, f"to {address.shown}")).to_json()
