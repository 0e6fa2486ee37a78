"""The scores of a dual encoder, which guide what the teacher is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.hub import DEFAULT_BACKBONE
from vdistill.encoders.student import open_student
from vdistill.errors import ImageError, VdistillError
from vdistill.images import load
from vdistill.records import Item
from vdistill.workspace import Workspace

BATCH = 64


def scores(
    workspace: Workspace | None, backbone: str | None, queries: Sequence[str], items: Sequence[Item]
) -> NDArray[np.float32]:
    """(queries, items) cosine similarities by the student of `workspace`, or by the backbone where that is None.

    Raises VdistillError naming an item whose image cannot be read.
    """
    encoder = DualEncoder.load(backbone or DEFAULT_BACKBONE) if workspace is None else open_student(workspace)
    prepare = encoder.preprocessing
    parts = []
    for start in range(0, len(items), BATCH):
        images = [prepare.compact(_loaded(item, prepare.target)) for item in items[start : start + BATCH]]
        parts.append(encoder.encode_images(prepare.stack(images)))
    return np.asarray(encoder.encode_texts(queries) @ np.concatenate(parts).T, np.float32)


def _loaded(item: Item, target: int) -> Image.Image:
    try:
        return load(item.source, target)
    except ImageError as error:
        raise VdistillError(
            f"{item.id} cannot be read: {error.message}", hint="fix or remove the file, and run the same command again"
        ) from error
