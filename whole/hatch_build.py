"""What `vdistill` shares with `vdistill-core`, whose code it installs: version, description, page and extras."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

_SHARED = ("description", "license", "requires-python", "authors", "keywords", "classifiers")


class FromCore(MetadataHookInterface):
    """Fills what `pyproject.toml` leaves open. A source distribution has it in its own metadata already."""

    def update(self, metadata: dict) -> None:
        """Read it from the folder above."""
        if "version" in metadata:
            return
        above = Path(self.root).parent
        core = tomllib.loads((above / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        said = (above / "src" / "vdistill" / "__init__.py").read_text(encoding="utf-8")
        version = re.search(r'^__version__ = "(.+)"$', said, re.MULTILINE)[1]
        metadata.update({name: core[name] for name in _SHARED}, version=version)
        metadata["readme"] = {"content-type": "text/markdown", "text": (above / "README.md").read_text("utf-8")}
        metadata["dependencies"] = [f"vdistill-core=={version}", *self.config["beyond-core"]]
        extras = core["optional-dependencies"]
        metadata["optional-dependencies"] = {name: [f"vdistill-core[{name}]=={version}"] for name in extras}
