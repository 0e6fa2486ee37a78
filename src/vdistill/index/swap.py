"""The last steps of a build: exported encoders beside the vectors, then the swap of the manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from vdistill.bundle import manifest
from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.errors import VdistillError
from vdistill.workspace import writing


def exported(
    folder: Path, kind: str, fingerprint: str, entries: Iterable[Entry], export: Callable[[Path], None]
) -> tuple[FileFacts, ...]:
    """The files of an exported encoder, `kind` "text_encoder" or "image_encoder".

    Those of an entry are taken over where they are of this fingerprint and whole; else `export` fills a folder anew.
    """
    home = f"{kind}/{fingerprint[:16]}"
    for entry in entries:
        files: tuple[FileFacts, ...] = getattr(entry, kind)
        if files and all(file.name.startswith(f"{home}/") for file in files) and _whole(folder, files):
            return files
    with writing(folder / home):
        shutil.rmtree(folder / home, ignore_errors=True)
        export(folder / home)
        written = sorted((folder / home).iterdir())
        for path in written:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        return tuple(FileFacts.of(folder, f"{home}/{path.name}") for path in written)


def publish(folder: Path, model: str, entries: Mapping[str, Entry], entry: Entry) -> None:
    """Swap the manifest, then remove what no entry needs any more."""
    others = {
        name: replace(other, text_encoder=entry.text_encoder)  # one folder for both, so one set of hashes
        if other.text_fingerprint == entry.text_fingerprint
        else other
        for name, other in entries.items()
        if name != model
    }
    published = {**others, model: entry}
    if published != entries:
        manifest.write(folder, published)
    with writing(folder):
        manifest.sweep(folder, published.values())


def _whole(folder: Path, files: Iterable[FileFacts]) -> bool:
    try:
        return all(file.check(folder, full=True).is_file() for file in files)
    except VdistillError:
        return False
