"""The dual encoder: any Hugging Face model with image and text features, with or without a LoRA adapter."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from vdistill.encoders.device import Precision, pick_device, pick_precision
from vdistill.encoders.pretrained import load_errors, load_parts, text_limit, with_adapter
from vdistill.encoders.tokenizer import PROBES
from vdistill.errors import VdistillError
from vdistill.images import Preprocessing

_VISION_TOWERS = ("vision_model", "visual", "image_model")
VISION_HEADS = ("visual_projection", "vision_projection", "image_projection")
_ALIKE = 0.9999  # cosine; float32 differs by 1e-6, a fault by 1e-3 and more
# The settings of the preprocessing that the pixels of an image depend on.
_PIXEL_SETTINGS = (
    "resample",
    "rescale",
    "mean",
    "std",
    "height",
    "width",
    "shortest_edge",
    "patch_size",
    "max_patches",
)
# Text towers that were trained on padding of a fixed length, without an attention mask.
_PADS_TO_MAX = frozenset({"siglip", "siglip2"})


@dataclass
class DualEncoder:
    """Two towers with one space: the score of a text and an image is the cosine similarity of their vectors.

    `model` is the transformers model, with an adapter merged into it, or wrapped by peft while training.
    """

    source: str
    model: Any  # a transformers model: get_image_features and get_text_features are what it has in common with others
    tokenizer: Any
    preprocessing: Preprocessing
    device: torch.device
    precision: Precision
    layout: str = "transformers"  # of the checkpoint's files, or "open_clip"

    @classmethod
    def load(
        cls, source: str, *, adapter: Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> DualEncoder:
        """Open a hub id, `ID@REVISION` or a local folder; the PEFT folder `adapter` is merged into the weights.

        Raises VdistillError where it cannot be loaded, is not a dual encoder, or the adapter does not fit it.
        """
        where = pick_device(device)
        with load_errors(source):
            model, tokenizer, config, layout = load_parts(source)
        found = cls(
            source=source,
            model=model.requires_grad_(False).eval().to(where),
            tokenizer=tokenizer,
            preprocessing=Preprocessing.from_processor_config(config),
            device=where,
            precision=pick_precision(precision, where),
            layout=layout,
        )
        found._read_texts_alike()
        return found if adapter is None else found.adapted(adapter)

    def _read_texts_alike(self) -> None:
        """Make a text have the same vector alone and beside a longer one; raise VdistillError where that is impossible.

        The fused attention of some towers (AIMv2's, in transformers 5) drops the causal mask of a text without padding.
        """
        if self.text_padding == "max_length" or self._reads_alike():
            return
        self.model.set_attn_implementation({"text_config": "eager"})
        if not self._reads_alike():
            raise VdistillError(
                f"{self.source} reads a text differently beside a longer one",
                hint="this is a fault of the model's class in transformers: try another version, or another model "
                "(docs/distill.md has a list)",
            )

    def _reads_alike(self) -> bool:
        alone = self.encode_texts([PROBES[0]])
        padded = self.encode_texts([PROBES[0], PROBES[1] * 4])[:1]
        return not float((alone * padded).sum()) <= _ALIKE  # NaN is reported where it is embedded

    def adapted(self, adapter: Path) -> DualEncoder:
        """This encoder with the PEFT folder `adapter` merged into its weights, which are changed in place.

        Raises VdistillError where the adapter does not fit.
        """
        return replace(self, model=with_adapter(self.model, adapter).requires_grad_(False).eval())

    @cached_property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.encode_texts(["a"]).shape[1])

    @cached_property
    def text_fingerprint(self) -> str:
        """Hash of all that a text embedding depends on."""
        return self._hash(text=True, extra=self.tokenizer_json())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that any embedding depends on."""
        return self._hash(text=False, extra=self.text_fingerprint + self.preprocessing.to_json())

    @cached_property
    def identity(self) -> str:
        """Hash of the weights and of how texts and images are prepared for them: what an adapter is bound to.

        Unlike a fingerprint it is the same under all versions of the libraries, which write equal settings differently.
        """
        tokens = self.tokenizer(list(PROBES), truncation=True, max_length=self.max_text_length).input_ids
        pixels = {name: getattr(self.preprocessing, name) for name in _PIXEL_SETTINGS}
        facts = json.dumps([tokens, pixels], sort_keys=True)
        return self._hash(text=False, extra=self._hash(text=True, extra=facts))

    @cached_property
    def text_padding(self) -> Literal["longest", "max_length"]:
        """How short texts are padded for the text tower."""
        return "max_length" if self.model.config.model_type in _PADS_TO_MAX else "longest"

    @cached_property
    def max_text_length(self) -> int:
        """Tokens that the text tower can read; longer texts are cut."""
        return text_limit(self.model.config, self.tokenizer)

    @cached_property
    def text_input_names(self) -> tuple[str, ...]:
        """The outputs of the tokenizer that the text tower takes; no mask for one that was trained without."""
        takes = set(inspect.signature(self.model.get_text_features).parameters)
        if self.text_padding == "max_length":
            takes.discard("attention_mask")
        return tuple(name for name in self.tokenizer.model_input_names if name in takes)

    @cached_property
    def vision_name(self) -> str:
        """Name of the image tower within the model."""
        for name in _VISION_TOWERS:
            if isinstance(getattr(self.model, name, None), nn.Module):
                return name
        raise VdistillError(
            f"cannot find the image tower of {self.source} ({type(self.model).__name__})",
            hint=f"it should be an attribute named one of: {', '.join(_VISION_TOWERS)}",
        )

    def tokenizer_json(self) -> str:
        """The tokenizer's settings as text, for fingerprints."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        facts = json.loads(backend.to_str())
        for changing in ("truncation", "padding"):  # they change with every call of the tokenizer
            facts.pop(changing, None)
        return json.dumps(facts, sort_keys=True)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token tensors (n, length), cut and padded for the text tower."""
        batch = self.tokenizer(
            list(texts),
            padding=self.text_padding,
            truncation=True,
            max_length=self.max_text_length,
            return_tensors="pt",
        )
        return {name: batch[name].to(self.device) for name in self.text_input_names}

    def text_features(self, **inputs: Tensor) -> Tensor:
        """Unit vectors (n, dim) of token tensors."""
        return normalize(pooled(self.model.get_text_features(**inputs)).float(), dim=-1)

    def image_features(self, **inputs: Tensor) -> Tensor:
        """Unit vectors (n, dim) of pixel tensors, computed in `precision`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features = pooled(self.model.get_image_features(**inputs))
        return normalize(features.float(), dim=-1)

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the CPU, whose cores also prepare its inputs."""
        return self.device.type == "cpu"

    def encode_texts(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Unit vectors (n, dim), float32."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # similar lengths together: less padding
        parts = [[texts[place] for place in order[at : at + batch]] for at in range(0, len(order), batch)]
        with torch.inference_mode():
            found = [self.text_features(**self.tokenize(part)).cpu().numpy() for part in parts]
        return np.concatenate(found)[np.argsort(order)]

    def encode_images(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        with torch.inference_mode():
            return self.image_features(**self.to_tensors(inputs)).cpu().numpy()

    def to_tensors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The arrays of a preprocessed batch on the model's device; bytes are normalised there."""
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        if "pixels" not in tensors:
            return tensors
        factor, shift = (torch.from_numpy(part)[:, None, None] for part in self.preprocessing.normalization)
        channels = tensors["pixels"].permute(0, 3, 1, 2).contiguous().float()  # bytes are moved faster than numbers
        return {"pixel_values": channels.mul_(factor.to(self.device)).add_(shift.to(self.device))}

    @cached_property
    def logit_scale(self) -> float:
        """The scale at which similarities become logits: the model's own, at most 100."""
        scale: Any = getattr(self.model, "logit_scale", None)
        return 100.0 if scale is None else min(float(scale.detach().exp()), 100.0)

    def blank(self, count: int = 1) -> dict[str, Tensor]:
        """The inputs of `count` white images."""
        one = self.preprocessing.stack([self.preprocessing(Image.new("RGB", (64, 64), "white"))])
        return {name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in self.to_tensors(one).items()}

    def lora_targets(self, layers: int | None) -> list[str]:
        """Names of the linear layers to adapt: those of the image tower's last `layers` blocks and its projection.

        None means every block, 0 the projection alone. Raises VdistillError where `layers` is out of range.
        """
        linears = {name for name, module in self.model.named_modules() if isinstance(module, nn.Linear)}
        blocks = self.vision_blocks()
        count = len(blocks) if layers is None else layers
        if not 0 <= count <= len(blocks):
            raise VdistillError(
                f"--train-layers {layers}: the image tower of {self.source} has {len(blocks)} blocks",
                hint=f"give a number from 0 to {len(blocks)}",
            )
        chosen = blocks[len(blocks) - count :]
        targets = {name for name in linears if any(name.startswith(f"{block}.") for block in chosen)}
        return sorted(targets | {name for name in linears if self.is_projection(name)})

    def is_projection(self, name: str) -> bool:
        """Whether the layer of this name, in the model or below an adapter, is behind the blocks of the image tower."""
        return name.rpartition(".")[2] in VISION_HEADS or f"{self.vision_name}.head.mlp." in name

    def vision_blocks(self) -> list[str]:
        """Names of the image tower's transformer blocks, first to last."""
        lists = {
            name: module
            for name, module in self.model.named_modules()
            if isinstance(module, nn.ModuleList) and name.startswith(f"{self.vision_name}.")
        }
        if not lists:
            raise VdistillError(f"cannot find the blocks of the image tower of {self.source}", hint="use another model")
        name = max(lists, key=lambda key: len(lists[key]))
        return [f"{name}.{number}" for number in range(len(lists[name]))]

    def _hash(self, *, text: bool, extra: str) -> str:
        digest = hashlib.sha256(extra.encode())
        image = (self.vision_name, *VISION_HEADS)
        for name, tensor in sorted(self.model.state_dict().items()):
            of_image = name.split(".")[0] in image
            if of_image is not text and not name.startswith("logit_"):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:32]


def pooled(features: Any) -> Tensor:
    """The tensor of features, which transformers 5 wraps in an output object."""
    return features if isinstance(features, Tensor) else features.pooler_output
