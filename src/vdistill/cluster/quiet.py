"""Ray's own words stay off our streams: it prints what happens to its nodes on stdout, amid a JSON document."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

# Read by Ray when it is imported, and by processes that it starts: no reports about usage, no dashboard, no metrics.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_include_dashboard": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # once the cluster is lost, a call of Ray would start or look for another one
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_THREADS = ("ray_", "_log_main")  # parts of the names of Ray's threads that print


@contextlib.contextmanager
def settings(wanted: dict[str, str]) -> Iterator[None]:
    """Settings of this process and its children for a while, where the user has none."""
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextlib.contextmanager
def own_streams() -> Iterator[None]:
    """Drop what Ray's threads write to stdout and stderr."""
    out, err = sys.stdout, sys.stderr
    ours: tuple[Any, Any] = _WithoutRay(out), _WithoutRay(err)
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == ours:
            sys.stdout, sys.stderr = out, err


class _WithoutRay:
    """A stream that ignores some threads."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or pretend to."""
        name = threading.current_thread().name
        return len(text) if any(part in name for part in _THREADS) else int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
