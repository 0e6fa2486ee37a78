"""A text encoder's weights, read in a thread while the rest of a cold query is still being imported and opened."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from typing import Any

from vdistill.bundle import manifest
from vdistill.bundle.pack import Place
from vdistill.errors import VdistillError


class EarlySessions:
    """The ONNX Runtime sessions of the text encoders of an index, begun at once.

    Only a head start: what cannot be opened, or belongs to an index that has been replaced, is not offered, and whoever
    needs it opens the encoder himself and finds out why.
    """

    def __init__(self, index: Place, models: Iterable[str]) -> None:
        self._sessions: dict[Place, Any] = {}
        folders = _folders(index, models)
        if folders:
            importlib.import_module("onnxruntime")  # here: threads that import at the same time hold each other up
        self._threads = {folder: threading.Thread(target=self._open, args=(folder,)) for folder in folders}
        for thread in self._threads.values():
            thread.start()

    def take(self, folder: Place) -> Any | None:
        """The session of the encoder in this folder, once it is there; None where there is none."""
        if folder in self._threads:
            self._threads[folder].join()
        return self._sessions.get(folder)

    def _open(self, folder: Place) -> None:
        from vdistill.bundle.text_encoder import MODEL, open_session

        try:
            self._sessions[folder] = open_session(folder / MODEL)
        except VdistillError:
            return


def _folders(index: Place, models: Iterable[str]) -> set[Place]:
    """The folders of the text encoders; models share one."""
    try:
        entries = manifest.read(index)
    except VdistillError:
        return set()
    found = (entries[model].text_encoder for model in models if model in entries)
    return {(index / files[0].name).parent for files in found if files}
