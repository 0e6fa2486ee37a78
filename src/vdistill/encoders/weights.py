"""Models with all weights from their checkpoint: transformers silently fills what a checkpoint lacks with noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vdistill.encoders.checkpoint import OWN_CODE
from vdistill.errors import VdistillError

_SHOWN = 3  # names in a message
# Buffers that are computed and never trained; whether a file has them depends on the version that wrote it.
_NEVER_TRAINED = ("position_ids", "token_type_ids")


def load_whole(auto: Any, source: str, *, unused: tuple[str, ...] = (), **options: Any) -> Any:
    """The model of a hub id or folder by `auto.from_pretrained`, all of whose parameters were in the files.

    auto: a model class of transformers, or one of its auto classes.
    unused: prefixes of names that the caller never computes with, so that they may be missing.
    Raises VdistillError, naming the parameters, for a checkpoint that lacks some or has them in other shapes, and
    whatever transformers raises. Code that comes with a checkpoint is never run.
    """
    model, found = auto.from_pretrained(
        source, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    require_whole(source, model, found, unused)
    return model


def require_whole(source: str, model: Any, found: Mapping[str, Any], unused: tuple[str, ...] = ()) -> None:
    """Raise VdistillError where parameters of `model` did not come from the files of `source`.

    found: the loading info of `from_pretrained(…, output_loading_info=True)`.
    """
    kind, count = type(model).__name__, len(model.state_dict())
    noise = _of_interest([*found.get("missing_keys", ()), *map(_resized, found.get("mismatched_keys", ()))], unused)
    if noise:
        raise VdistillError(
            f"{source} lacks {len(noise)} of the {count} weights of a {kind}: {_listed(noise)}", hint=_remedy(model)
        )
    extra = _of_interest(found.get("unexpected_keys", ()))
    if extra and _has_own_code(model):
        raise VdistillError(
            f"{source} holds weights that a {kind} does not know: {_listed(extra)}", hint=_remedy(model)
        )


def _of_interest(names: Iterable[str], unused: tuple[str, ...] = ()) -> list[str]:
    return sorted(name for name in names if not (name.endswith(_NEVER_TRAINED) or name.startswith(unused)))


def _resized(entry: Sequence[Any]) -> str:
    name, theirs, ours = entry[:3]
    return f"{name} {tuple(theirs)} instead of {tuple(ours)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _has_own_code(model: Any) -> bool:
    return bool(getattr(model.config, "auto_map", None))


def _remedy(model: Any) -> str:
    if _has_own_code(model):
        return OWN_CODE
    return "the files are incomplete or belong to another architecture: download them again, or take another model"
