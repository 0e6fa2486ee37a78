"""What benchmarks share: machine and versions, rounds that alternate, ratios with their spread, neighbours alike."""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from vdistill.bench.speed.machine import Machine

PACKAGES = ("torch", "onnxruntime", "usearch", "numpy")
CONSOLE = Console(width=110)


def header(*packages: str) -> None:
    """Print the machine, and the versions of Python and of what is measured."""
    versions = []
    for package in (*PACKAGES, *packages):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    CONSOLE.print(f"{Machine.this().describe()}; Python {platform.python_version()}, {', '.join(versions)}")


def lacks(package: str, extra: str) -> bool:
    """Whether a package is missing; then says so, as `tests/test_benchmarks.py` expects of what cannot run."""
    missing = importlib.util.find_spec(package) is None
    if missing:
        print(f"not run: it needs the extra `{extra}`")
    return missing


def alternate(arms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm in each round. The arms take turns, so that what disturbs the machine disturbs all."""
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(rounds):
        for arm, run in arms.items():
            started = time.perf_counter()
            run()
            seconds[arm].append(time.perf_counter() - started)
    return seconds


def ratios(base: list[float], seconds: list[float]) -> list[float]:
    """How many times as fast as `base`, round by round."""
    return [a / b for a, b in zip(base, seconds, strict=True)]


def alike(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the ten nearest others of each unit vector (n, dim) that are the ten nearest by `exact`."""
    pairs = zip(_nearest(found), _nearest(exact), strict=True)
    return float(np.mean([len({*ours} & {*theirs}) / 10 for ours, theirs in pairs]))


def _nearest(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def spread(values: list[float], form: str = ".2f") -> str:
    """Median [lowest, highest]."""
    return f"{median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean over 10,000 bootstrap samples."""
    found, rng = np.asarray(values, np.float64), np.random.default_rng(0)
    means = found[rng.integers(len(found), size=(10_000, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def show(title: str, seconds: Mapping[str, list[float]], work: int = 1, unit: str = "") -> None:
    """Print a table of the arms; ratios are to the first.

    work: how much one round does, for a rate in `unit` per second instead of seconds.
    """
    table = Table(title=title, title_justify="left")
    base = next(iter(seconds))
    for column in ("", f"{unit}/s" if unit else "seconds", f"× {base}"):
        table.add_column(column, justify="left" if not column else "right")
    for arm, taken in seconds.items():
        shown = spread([work / one for one in taken], ",.1f") if unit else spread(taken, ".3g")
        table.add_row(arm, shown, spread(ratios(seconds[base], taken)))
    CONSOLE.print(table)
