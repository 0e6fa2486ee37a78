"""Device and precision of a model: what was asked for, as far as this machine supports it natively."""

from __future__ import annotations

from typing import Any, Literal

import torch

from vdistill.errors import VdistillError

Precision = Literal["fp32", "bf16"]

# Torch's names for processor instructions that multiply bf16.
_BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16", "neon_bf16", "sve_bf16")


def pick_device(name: str) -> torch.device:
    """`auto` is the accelerator if there is one: torch built for CUDA names one on machines without it, too.

    Raises VdistillError for a name that torch does not know.
    """
    if name != "auto":
        try:
            return torch.device(name)
        except RuntimeError as error:
            raise VdistillError(f"unknown device {name!r}", hint="try auto, cpu, cuda, cuda:1 or mps") from error
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def pick_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bf16 where the machine multiplies it natively; `bf16` falls back to float32 where it does not.

    A CPU without such instructions multiplies bf16 much more slowly than float32, or not at all.
    Raises VdistillError for any other name than auto, fp32 and bf16.
    """
    if name not in ("auto", "fp32", "bf16"):
        raise VdistillError(f"unknown precision {name!r}", hint="use auto, fp32 or bf16")
    if name == "fp32":
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if cpu_multiplies_bf16() else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has instructions for bf16 products, and oneDNN may use them (ONEDNN_MAX_CPU_ISA)."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    try:
        return any(map(capabilities.get, _BF16_INSTRUCTIONS)) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # not a public operator; absent from builds without oneDNN
        return False
