"""Text encoders in sentence-transformers' layout: a transformer, a pooling, and what `modules.json` lists after them.

Read without that library, and without code that comes with a checkpoint (Reimers & Gurevych 2019).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, normalize

from vdistill.encoders.checkpoint import Checkpoint, hub_name
from vdistill.encoders.device import pick_device
from vdistill.encoders.pooling import FLAGS, POOLINGS
from vdistill.encoders.pretrained import load_errors, quiet_transformers
from vdistill.encoders.weights import load_whole
from vdistill.errors import VdistillError

Layer = Callable[[Tensor], Tensor]

_LONGEST = 512  # tokens, where neither the model nor its tokenizer sets a limit
_DOCUMENT = ("document", "passage", "corpus")  # names of the prompt for what is searched
_ACTIVATIONS: dict[str, Layer] = {
    "Identity": lambda values: values,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": torch.nn.functional.gelu,
    "SiLU": torch.nn.functional.silu,
    "Sigmoid": torch.sigmoid,
}
_HINT = "give a text encoder of Transformer, Pooling, Dense and Normalize modules, or a dual encoder"


@dataclass(frozen=True)
class SentenceEncoder:
    """Texts to unit vectors: tokens are pooled, and go through `layers`.

    prompts: what is put before a text, by what the text is.
    """

    source: str
    model: Any
    tokenizer: Any
    pooling: Sequence[str]
    layers: Sequence[Layer]
    max_length: int
    device: torch.device
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, source: str, device: str = "auto") -> SentenceEncoder:
        """Open a folder, a hub id or `ID@REVISION`.

        Without `modules.json` the tokens are averaged, as sentence-transformers does with a plain transformer.
        Raises VdistillError for what is no text encoder, lacks weights, or has modules of another kind.
        """
        from transformers import AutoModel, AutoTokenizer

        where = pick_device(device)
        with load_errors(source), quiet_transformers():
            root = Checkpoint(source, *hub_name(source))
            modules = _modules(root)
            base = modules[0][1]
            checkpoint = _inside(root, base) if base else root
            checkpoint.require_known()
            pooling, layers = _after(root, modules[1:], where)
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.name, **checkpoint.options, trust_remote_code=False)
            model = load_whole(AutoModel, checkpoint.name, unused=("pooler.",), **checkpoint.options,
                               dtype=torch.float32)  # fmt: skip
        own = (checkpoint if base else root).json("sentence_bert_config.json") or {}
        return cls(
            source=source,
            model=_text_part(source, model).requires_grad_(False).eval().to(where),
            tokenizer=tokenizer,
            pooling=pooling,
            layers=layers,
            max_length=_limit(own, model, tokenizer),
            device=where,
            lower_case=bool(own.get("do_lower_case")),
            prompts=_prompts(root),
        )

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d), float32, of what is searched for."""
        return self._encode([f"{self.prompts.get('query', '')}{text}" for text in texts])

    def documents(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d), float32, of the texts to find."""
        before = next((self.prompts[name] for name in _DOCUMENT if name in self.prompts), "")
        return self._encode([f"{before}{text}" for text in texts])

    def _encode(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # similar lengths together: less padding
        parts = [[texts[place] for place in order[at : at + batch]] for at in range(0, len(order), batch)]
        with torch.inference_mode():
            found = [self._vectors(part).cpu().numpy() for part in parts]
        return np.concatenate(found)[np.argsort(order)]

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        texts = [text.strip().lower() if self.lower_case else text.strip() for text in texts]
        inputs = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        tokens = self.model(**inputs).last_hidden_state.float()
        vectors = torch.cat([POOLINGS[name](tokens, inputs["attention_mask"]) for name in self.pooling], dim=-1)
        for layer in self.layers:
            vectors = layer(vectors)
        return normalize(vectors, dim=-1)


def _inside(root: Checkpoint, folder: str) -> Checkpoint:
    """The checkpoint in a folder of another."""
    if Path(root.name).is_dir():
        return Checkpoint(root.source, str(Path(root.name) / folder))
    return Checkpoint(root.source, root.name, root.revision, folder)


def _modules(root: Checkpoint) -> list[tuple[str, str]]:
    """(kind, folder) of each module, the transformer first. Raises VdistillError for others than those known here."""
    path = root.file("modules.json")
    if path is None:
        return [("Transformer", "")]
    try:
        listed = [(str(one["type"]), str(one["path"])) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VdistillError(f"modules.json of {root.source} is damaged: {error}", hint="download it again") from error
    found = [(kind.rpartition(".")[2], folder) for kind, folder in listed]
    own = [kind for kind, _ in listed if not kind.startswith("sentence_transformers.")]
    strange = own or [kind for kind, _ in found[1:] if kind not in ("Pooling", "Dense", "Normalize", "Dropout")]
    if strange or not found or found[0][0] != "Transformer" or any(".." in folder for _, folder in found):
        what = strange[0] if strange else found[0][0] if found else "no module"
        raise VdistillError(f"{root.source} is built of {what}, which vdistill does not read", hint=_HINT)
    return found


def _after(root: Checkpoint, modules: Sequence[tuple[str, str]], device: torch.device) -> tuple[list[str], list[Layer]]:
    """How tokens are pooled, and the layers after that."""
    pooling, layers = ["mean"], list[Layer]()
    for kind, folder in modules:
        if kind == "Pooling":
            pooling = _pooling(root, root.json(f"{folder}/config.json") or {})
        elif kind == "Dense":
            layers.append(_dense(root, folder, device))
        elif kind == "Normalize":
            layers.append(lambda vectors: normalize(vectors, dim=-1))
    return pooling, layers


def _pooling(root: Checkpoint, config: Mapping[str, Any]) -> list[str]:
    """The names of the poolings, whose vectors are concatenated."""
    named = config.get("pooling_mode")
    if named is None:
        named = [name for flag, name in FLAGS.items() if config.get(flag)] or ["mean"]
    names = [named] if isinstance(named, str) else list(named)
    if not set(names) <= POOLINGS.keys() or config.get("include_prompt") is False:
        raise VdistillError(f"{root.source} pools in a way that vdistill does not know: {named}", hint=_HINT)
    return names


def _dense(root: Checkpoint, folder: str, device: torch.device) -> Layer:
    """A linear layer and its activation. Raises VdistillError for other activations, and for pickled weights."""
    from safetensors.torch import load_file

    config, path = root.json(f"{folder}/config.json") or {}, root.file(f"{folder}/model.safetensors")
    name = str(config.get("activation_function") or "Identity").rpartition(".")[2]
    plain = config.get("module_input_name", "sentence_embedding") == "sentence_embedding"
    if name not in _ACTIVATIONS or config.get("use_residual") or not plain:
        raise VdistillError(f"{root.source} has a Dense module with {name}, which vdistill does not read", hint=_HINT)
    if path is None:
        raise VdistillError(
            f"the weights of {folder} of {root.source} are not in model.safetensors, and pickles are not opened",
            hint="save the model again with a newer sentence-transformers",
        )
    tensors = {key: tensor.float().to(device) for key, tensor in load_file(path).items()}
    weight, bias, activation = tensors["linear.weight"], tensors.get("linear.bias"), _ACTIVATIONS[name]
    return lambda vectors: activation(linear(vectors, weight, bias))


def _text_part(source: str, model: Any) -> Any:
    """The encoder of a model that also has a decoder (T5). Raises VdistillError for one that is not for texts alone."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if model.main_input_name != "input_ids" or hasattr(model.config, "vision_config"):
        raise VdistillError(f"{source} is a {type(model).__name__}, not an encoder of texts alone", hint=_HINT)
    return model


def _limit(own: Mapping[str, Any], model: Any, tokenizer: Any) -> int:
    """Tokens that the model reads."""
    positions = getattr(model.config, "max_position_embeddings", None)
    limits = [own.get("max_seq_length") or positions, tokenizer.model_max_length]
    return int(min([limit for limit in limits if limit and limit < 1_000_000] or [_LONGEST]))


def _prompts(root: Checkpoint) -> dict[str, str]:
    found = (root.json("config_sentence_transformers.json") or {}).get("prompts") or {}
    return {str(name): str(text) for name, text in found.items() if isinstance(text, str)}


def is_text_encoder(source: str) -> bool:
    """Whether a folder or hub id is a text encoder alone, by its files: nothing is loaded.

    False for what cannot be read, so that the reader of dual encoders says why.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    try:
        with quiet_transformers():
            root = Checkpoint.of(source)
            if root.open_clip is not None or root.config is None:
                return False
            if (own := Checkpoint(source, *hub_name(source)).file("modules.json")) is not None:
                return _first_is_text(own)
            config = AutoConfig.from_pretrained(root.name, **root.options, trust_remote_code=False)
    except Exception:  # whatever libraries raise: the reader of dual encoders will say it
        return False
    images = "vision" in config.model_type or any(hasattr(config, name) for name in ("vision_config", "patch_size"))
    return config.model_type in MODEL_MAPPING_NAMES and not images


def _first_is_text(modules: Path) -> bool:
    """Whether the first of the listed modules is a transformer of texts, with a pooling after it."""
    listed = json.loads(modules.read_text(encoding="utf-8"))
    kinds = [str(one["type"]).rpartition(".")[2] for one in listed]
    return kinds[:1] == ["Transformer"] and "Pooling" in kinds
