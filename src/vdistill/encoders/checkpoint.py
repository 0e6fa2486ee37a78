"""Where a checkpoint is, and the files that say what it is; no weights are read here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vdistill.encoders.hub import look_up
from vdistill.errors import VdistillError

_FIRST = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"


def hub_name(source: str) -> tuple[str, str | None]:
    """`NAME@REVISION` as name and revision; a folder, and a name without one, have none."""
    name, mark, revision = source.rpartition("@")
    return (name, revision) if mark and name and not Path(source).is_dir() else (source, None)


@dataclass(frozen=True)
class Checkpoint:
    """A folder or hub repository; `subfolder` is where the model is in one that sentence-transformers wrote."""

    source: str
    name: str
    revision: str | None = None
    subfolder: str = ""

    @classmethod
    def of(cls, source: str) -> Checkpoint:
        """The checkpoint of a folder, hub id or `ID@REVISION`. Raises OSError where the hub refuses it."""
        name, revision = hub_name(source)
        root = cls(source, name, revision)
        inside = root._of_sentence_transformers()
        if inside is None:
            return root
        return cls(source, str(Path(name) / inside)) if Path(name).is_dir() else cls(source, name, revision, inside)

    @property
    def options(self) -> dict[str, Any]:
        """What `from_pretrained` needs besides `name`."""
        return {**look_up(self.name, self.revision).where, "subfolder": self.subfolder}

    def file(self, name: str) -> Path | None:
        """The path of this file of the checkpoint, downloaded if need be; None where it has no such file.

        Raises OSError where the hub cannot be reached and the checkpoint is not in its cache.
        """
        from transformers.utils import cached_file

        found = cached_file(
            self.name,
            name,
            **self.options,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=name == _FIRST,  # without it there is no point in going on
        )
        return None if found is None else Path(found)

    def json(self, name: str) -> dict[str, Any] | None:
        """The JSON object in this file; None where there is no such file. Raises VdistillError for other content."""
        path = self.file(name)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VdistillError(f"cannot read {name} of {self.source}: {error}", hint="download it again") from error
        if not isinstance(content, dict):
            raise VdistillError(f"{name} of {self.source} is not a JSON object", hint="download it again")
        return content

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """`config.json`; None where there is none."""
        return self.json(_FIRST)

    @cached_property
    def open_clip(self) -> dict[str, Any] | None:
        """`open_clip_config.json`; None where there is none, or transformers can read `config.json`."""
        if self.config is not None and _is_known(self.config) and not self.config.get("auto_map"):
            return None
        return self.json(OPEN_CLIP_CONFIG)

    def require_known(self) -> None:
        """Raise VdistillError for a kind of model that transformers does not know."""
        kind = (self.config or {}).get("model_type")
        if self.config is None or _is_known(self.config):
            return
        what = f"is a {kind} model" if kind else "has a config.json that names no model_type"
        own = self.config.get("auto_map")
        raise VdistillError(
            f"{self.source} {what}, which transformers does not know",
            hint=OWN_CODE if own else "a newer transformers may know it; docs/distill.md lists models that work",
        )

    def _of_sentence_transformers(self) -> str | None:
        """The subfolder with the model in a checkpoint of sentence-transformers; None in others."""
        path = None if self.file(_FIRST) is not None else self.file("modules.json")
        if path is None:
            return None
        try:
            folders = [str(module["path"]) for module in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        holding = [name for name in folders if name and ".." not in name and self.file(f"{name}/config.json")]
        return holding[0] if holding else None


OWN_CODE = (
    "this checkpoint comes with its own code (auto_map in its config.json), which vdistill does not run: "
    "use a model that transformers knows (docs/distill.md has a list)"
)


def _is_known(config: dict[str, Any]) -> bool:
    from transformers import CONFIG_MAPPING

    return config.get("model_type") in CONFIG_MAPPING
