"""Where a model's files are: a folder, this machine's cache, or a hub. One request, and nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

DEFAULT_BACKBONE = "openai/clip-vit-base-patch32"
WAIT = 10.0  # seconds for a hub's answer
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True, slots=True)
class Files:
    """What was found of a hub id or folder.

    local: nothing more will come from a hub during this run.  present: at least its configuration can be read.
    sizes: bytes of the weights by file name, empty where unknown.  absent: those of them that are not on this machine.
    """

    name: str
    revision: str | None = None
    local: bool = True
    present: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def where(self) -> dict[str, Any]:
        """The arguments of `from_pretrained`, by which no file is requested that is known to be out of reach."""
        return {"revision": self.revision or "main", "local_files_only": self.local}

    @property
    def to_download(self) -> int:
        """Bytes of weights that are still to be downloaded; 0 where unknown."""
        return sum(self.sizes[name] for name in self.absent)


def look_up(name: str, revision: str | None = None) -> Files:
    """The files of a hub id or folder; nothing is downloaded.

    Raises OSError where the hub knows no such model or refuses it, and ValueError for an impossible hub id.
    """
    folder = Path(name)
    if folder.is_dir():
        sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix in WEIGHTS}
        return Files(name, revision, sizes=sizes)
    return _asked(name, revision)


def is_cached(name: str, file: str, revision: str | None = None) -> bool:
    """Whether this machine has a file of a hub id."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


@lru_cache(maxsize=32)  # so that an unresponsive network is waited for only once
def _asked(name: str, revision: str | None) -> Files:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils._validators import validate_repo_id

    validate_repo_id(name)
    present = is_cached(name, "config.json", revision)
    if constants.HF_HUB_OFFLINE:
        return Files(name, revision, present=present)
    try:
        return _on_hub(name, revision)
    except HfHubHTTPError as error:  # the hub answered
        if not present:
            raise OSError(_said(error)) from error
    except Exception:  # which library's errors tell that a hub cannot be reached depends on the client's version
        pass
    return Files(name, revision, present=present)


def _on_hub(name: str, revision: str | None) -> Files:
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=WAIT)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    sizes = {file: files[file] for file in _weights(list(files))}
    absent = tuple(file for file in sizes if not is_cached(name, file, info.sha))
    # By revision, not by commit: only so does the cache find it without network.
    return Files(name, revision, local=False, sizes=sizes, absent=absent)


def _weights(files: Sequence[str]) -> list[str]:
    """The files that transformers would load: safetensors before others, and none in subfolders."""
    top = [file for file in files if "/" not in file]
    for suffix in WEIGHTS:
        if found := [file for file in top if file.startswith(("model", "pytorch_model")) and file.endswith(suffix)]:
            return found
    return []


def _said(error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return "access is restricted: accept the terms on its page, then run `hf auth login`"
    if kind == "RevisionNotFoundError":
        return "it has no such revision"
    if status in (401, 404):
        return "the hub knows no model of this name, or it is private (`hf auth login`)"
    return f"the hub answers with HTTP {status}"
