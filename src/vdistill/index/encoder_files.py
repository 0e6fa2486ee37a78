"""The exported encoders of an index: kept from the previous index where it has the same model, else exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.errors import VdistillError
from vdistill.workspace import replacing_folder, writing

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder

Files = tuple[FileFacts, ...]


def encoder_files(encoder: DualEncoder, folder: Path, entries: Iterable[Entry]) -> tuple[Files, Files]:
    """The files in `folder` of the text encoder and of the image encoder; `entries` are those of the manifest."""
    from vdistill.index.onnx_export import export_image_encoder, export_text_encoder

    entries = list(entries)
    text_home, image_home = f"text_encoder/{encoder.text_fingerprint[:16]}", f"image_encoder/{encoder.fingerprint[:16]}"
    traced = [(folder / entry.image_encoder[0].name).parent for entry in entries if entry.image_encoder]
    export_text = partial(export_text_encoder, encoder)
    export_image = partial(export_image_encoder, encoder, known=traced)
    return (
        _kept_or_exported(folder, text_home, [entry.text_encoder for entry in entries], export_text),
        _kept_or_exported(folder, image_home, [entry.image_encoder for entry in entries], export_image),
    )


def _kept_or_exported(folder: Path, home: str, known: Iterable[Files], export: Callable[[Path], None]) -> Files:
    """The known files in `folder / home` where they are whole; else what `export` writes there."""
    for files in known:
        if files and all(file.name.startswith(f"{home}/") for file in files) and _are_whole(folder, files):
            return files
    with writing(folder / home):
        with replacing_folder(folder / home) as aside:
            export(aside)
        return tuple(FileFacts.measure(folder, f"{home}/{path.name}") for path in sorted((folder / home).iterdir()))


def _are_whole(folder: Path, files: Files) -> bool:
    try:
        return all(file.check(folder, full=True).exists() for file in files)
    except VdistillError:
        return False
