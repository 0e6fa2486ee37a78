"""TOML files: `vdistill.toml`, and the prompts of `--prompt FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, hint: str) -> dict[str, Any]:
    """The content of a TOML file. Raises VdistillError, with this hint, where it cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:
        raise VdistillError(f"cannot read {path}: {error}", hint=hint) from error
