"""The vectors of images before the refit, when the tower had not trained on those of validation; kept on disk.

A training that was interrupted while it refits no longer has those weights.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vdistill.workspace import replacing, writing


@dataclass(frozen=True, slots=True)
class Unseen:
    """A file of the vectors of one training, which `key` names."""

    path: Path
    key: str

    def save(self, vectors: Tensor) -> None:
        """Replace the file by the vectors (n, dim). Raises VdistillError where the disk refuses."""
        with writing(self.path), replacing(self.path) as aside:
            save_file({"vectors": vectors.detach().cpu().contiguous()}, aside, {"key": self.key})

    def load(self) -> Tensor | None:
        """The vectors (n, dim); None where the file is missing, damaged, or of another training."""
        with contextlib.suppress(OSError, SafetensorError), safe_open(self.path, "pt") as file:
            if (file.metadata() or {}).get("key") == self.key:
                found: Tensor = file.get_tensor("vectors")
                return found
        return None

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
