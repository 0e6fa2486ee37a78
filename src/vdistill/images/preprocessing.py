"""An image becomes the arrays that an image tower takes, with Pillow and numpy, without torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from vdistill.errors import VdistillError

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
_BILINEAR, _BICUBIC = int(Image.Resampling.BILINEAR), int(Image.Resampling.BICUBIC)
# What each image processor class of transformers does where its configuration is silent.
_CLIP: dict[str, Any] = {
    **{"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True},
    **{"resample": _BICUBIC, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
}
_VIT: dict[str, Any] = {
    **{"size": {"height": 224, "width": 224}, "do_center_crop": False},
    **{"resample": _BILINEAR, "image_mean": _HALF, "image_std": _HALF},
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIPImageProcessor": _CLIP,
    "ChineseCLIPImageProcessor": _CLIP,
    "BitImageProcessor": _CLIP,
    "SiglipImageProcessor": {**_VIT, "resample": _BICUBIC},
    "ViTImageProcessor": _VIT,
    "Siglip2ImageProcessor": {**_VIT, "patch_size": 16, "max_num_patches": 256},
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image is prepared for an image tower, as its Hugging Face image processor does it.

    With `patch_size` set the image keeps its aspect ratio and becomes a sequence of patches (Siglip2 NaFlex); else it
    becomes `height` × `width`: by scaling its shorter side to `shortest_edge` and cropping the centre, or, where that
    is None, by scaling each side. A pixel x in 0…255 becomes (x · rescale − mean) / std.
    """

    kind: str
    resample: int
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    height: int = 0
    width: int = 0
    shortest_edge: int | None = None
    patch_size: int | None = None
    max_patches: int = 0

    @classmethod
    def from_processor_config(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Read a `preprocessor_config.json` of any transformers version.

        Raises VdistillError for unknown kinds, and for settings that give no fixed size.
        """
        config = config.get("image_processor", config)
        kind = _kind(config)
        settings = {**_DEFAULTS[kind], **{name: value for name, value in config.items() if value is not None}}
        if not settings.get("do_resize", True):
            raise _unsupported(kind, "do_resize is off, so images would differ in size")
        geometry = _geometry(kind, settings)
        normalize = settings.get("do_normalize", True)
        return cls(
            kind=kind,
            resample=int(settings["resample"]),
            rescale=float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0,
            mean=tuple(map(float, settings["image_mean"])) if normalize else (0.0, 0.0, 0.0),
            std=tuple(map(float, settings["image_std"])) if normalize else (1.0, 1.0, 1.0),
            **geometry,
        )

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Read what `to_json` wrote. Raises VdistillError for anything else."""
        try:
            fields = json.loads(text)
            return cls(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
        except (ValueError, TypeError, KeyError) as error:
            hint = "run `vdistill index` to write them again"
            raise VdistillError(f"preprocessing settings are damaged: {error}", hint=hint) from error

    def to_json(self) -> str:
        """One line of JSON, identical for equal settings."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def target(self) -> int:
        """Length in pixels that the shorter side is scaled to: what to pass to `load`."""
        if self.patch_size:
            return self.patch_size * math.ceil(math.sqrt(self.max_patches))
        return max(self.height, self.width, self.shortest_edge or 0)

    def __call__(self, image: Image.Image) -> dict[str, np.ndarray]:
        """The model's inputs for one RGB image, without a batch axis.

        `pixel_values` (3, height, width) float32; for a kind with patches `pixel_values` (max_patches, patch² · 3),
        `pixel_attention_mask` (max_patches,) int32 and `spatial_shapes` (2,) int64, in patches.
        """
        if self.patch_size:
            return self._as_patches(image, self.patch_size)
        return {"pixel_values": self._normalized(self._resized(image))}

    def compact(self, image: Image.Image) -> dict[str, np.ndarray]:
        """The same in a quarter of the memory: `pixels` (height, width, 3) uint8, not normalised yet.

        For a kind with patches it returns what `__call__` does.
        """
        return self(image) if self.patch_size else {"pixels": np.asarray(self._resized(image))}

    @property
    def normalization(self) -> tuple[np.ndarray, np.ndarray]:
        """(factor, shift), float32 (3,): a pixel x becomes x · factor + shift."""
        std = np.asarray(self.std)
        return (self.rescale / std).astype(np.float32), (-np.asarray(self.mean) / std).astype(np.float32)

    def stack(self, inputs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """One batch of the inputs of several images: a new first axis on each array."""
        return {name: np.stack([one[name] for one in inputs]) for name in inputs[0]}

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.shortest_edge is None:
            return image.resize((self.width, self.height), Image.Resampling(self.resample))
        return self._cropped(image, self.shortest_edge)

    def _cropped(self, image: Image.Image, edge: int) -> Image.Image:
        """The centre of the scaled image, with black borders where the scaled image is smaller."""
        short, long = min(image.size), max(image.size)
        scaled = [edge if side == short else int(edge * long / short) for side in image.size]
        (left, x0, x1), (top, y0, y1) = (_span(*s) for s in zip(scaled, (self.width, self.height), strict=True))
        if long <= 8 * short:
            part = image.resize((scaled[0], scaled[1]), Image.Resampling(self.resample)).crop((x0, y0, x1, y1))
        else:  # 1 × 50,000 pixels would become gigabytes: compute only what stays
            rx, ry = image.width / scaled[0], image.height / scaled[1]
            box = (x0 * rx, y0 * ry, min(x1 * rx, image.width), min(y1 * ry, image.height))
            part = image.resize((x1 - x0, y1 - y0), Image.Resampling(self.resample), box=box)
        if part.size == (self.width, self.height):
            return part
        canvas = Image.new("RGB", (self.width, self.height))
        canvas.paste(part, (left, top))
        return canvas

    def _normalized(self, image: Image.Image) -> np.ndarray:
        """(3, height, width), float32, contiguous."""
        factor, shift = self.normalization
        pixels = np.asarray(image, np.float32) * factor + shift
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _as_patches(self, image: Image.Image, patch: int) -> dict[str, np.ndarray]:
        rows, columns = _patch_grid(image.height, image.width, patch, self.max_patches)
        resized = image.resize((columns * patch, rows * patch), Image.Resampling(self.resample))
        pixels = self._normalized(resized).reshape(3, rows, patch, columns, patch)
        values = np.zeros((self.max_patches, patch * patch * 3), np.float32)
        values[: rows * columns] = pixels.transpose(1, 3, 2, 4, 0).reshape(rows * columns, -1)
        mask = (np.arange(self.max_patches) < rows * columns).astype(np.int32)
        shape = np.array([rows, columns], np.int64)
        return {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shape}


def _span(scaled: int, wanted: int) -> tuple[int, int, int]:
    """Along one axis of a centre crop: where the kept part goes, and its ends within the scaled image."""
    start = (scaled - wanted) // 2
    return max(0, -start), max(0, start), min(scaled, start + wanted)


def _patch_grid(height: int, width: int, patch: int, limit: int) -> tuple[int, int]:
    """Rows and columns of the largest grid of at most `limit` patches that keeps the aspect ratio, each rounded up.

    Bisection with the bounds and tolerance of transformers' Siglip2 processor, so that both agree.
    """

    def grid(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / patch)) for side in (height, width))
        return rows, columns

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(grid(middle)) <= limit else (low, middle)
    return grid(low)


def _kind(config: Mapping[str, Any]) -> str:
    given = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = given.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    if kind not in _DEFAULTS:
        raise VdistillError(
            f"unknown image processor {given or '(none named)'}",
            hint=f"backbones with one of these work: {', '.join(_DEFAULTS)}",
        )
    return kind


def _geometry(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Preprocessing` that say how large an image becomes."""
    if "max_num_patches" in _DEFAULTS[kind]:
        return {"patch_size": int(settings["patch_size"]), "max_patches": int(settings["max_num_patches"])}
    size = settings["size"]
    if isinstance(size, int):  # transformers 4.22 and older
        size = {"shortest_edge": size} if settings["do_center_crop"] else {"height": size, "width": size}
    if settings["do_center_crop"] and set(size) == {"shortest_edge"}:
        crop = settings["crop_size"]
        height, width = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
        return {"height": int(height), "width": int(width), "shortest_edge": int(size["shortest_edge"])}
    if not settings["do_center_crop"] and set(size) == {"height", "width"}:
        return {"height": int(size["height"]), "width": int(size["width"])}
    raise _unsupported(kind, f"size {dict(size)} with do_center_crop={settings['do_center_crop']}")


def _unsupported(kind: str, why: str) -> VdistillError:
    return VdistillError(f"cannot follow this {kind}: {why}", hint="set a fixed size in its preprocessor_config.json")
