"""The machine that something was measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Narrowest first, with Linux's names for them.
_WIDEST = (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("AVX-512 bf16", "avx512_bf16"), ("AMX", "amx_bf16"))
_ALLOWED = {"SSE41": 0, "AVX": 0, "AVX2": 1, "AVX2_VNNI": 1, "AVX512_CORE": 2, "AVX512_CORE_VNNI": 2,
            "AVX512_CORE_BF16": 3}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """cores: those this process may use.  memory_bytes: None where the system does not tell.

    instructions: the widest for matrix products, such as "AVX2"; empty where the system does not tell.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    instructions: str = ""

    @classmethod
    def this(cls) -> Machine:
        """The machine that this process runs on."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        try:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            memory = None
        return cls(_cpu_name(), cores, memory, _instructions())

    def describe(self) -> str:
        """One line."""
        memory = f", {self.memory_bytes / 2**30:.0f} GiB" if self.memory_bytes else ""
        instructions = f" ({self.instructions})" if self.instructions else ""
        return f"{self.cpu}{instructions}, {self.cores} cores{memory}"


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    """Those that oneDNN may use: ONEDNN_MAX_CPU_ISA makes a processor appear as an older one."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "Arm"
    flags = set(_cpuinfo("flags").split())
    allowed = _ALLOWED.get(os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper(), len(_WIDEST))
    names = [name for name, flag in _WIDEST[:allowed] if flag in flags]
    return names[-1] if names else ""


def _cpuinfo(name: str) -> str:
    """The first line of this name in what Linux tells of its processors; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
