"""How long an answer takes: cold, as a process, beside the least that does the same with transformers; and in a batch.

    python tests/benchmarks/query_speed.py                 10,000 random vectors, and a million clustered ones

A text encoder of ViT-B/32 size with random weights and CLIP's tokenizer. Processes alternate; medians, lowest, highest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from search_scale import data
from speed_model import backbone

from vdistill.bundle import manifest
from vdistill.bundle.manifest import FileFacts
from vdistill.database import Database
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.student import provenance
from vdistill.index.onnx_export import export_text_encoder
from vdistill.workspace import create

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from indexes import write_index

# The least that encodes a text with transformers and finds the nearest vectors in a file.
PLAIN = """
import sys
import numpy as np, torch
from transformers import CLIPTextModelWithProjection, CLIPTokenizer
model, vectors, text = sys.argv[1:]
tokens = CLIPTokenizer.from_pretrained(model)(text, return_tensors="pt")
with torch.inference_mode():
    query = CLIPTextModelWithProjection.from_pretrained(model)(**tokens).text_embeds[0].numpy()
print(np.argsort(-np.load(vectors, mmap_mode="r") @ query)[:10])
"""
WISHES = ("a gift for a mother who loves gardening", "red watering can", "something warm for cold evenings", "blue mug")


def workspace(home: Path, encoder: DualEncoder, vectors: np.ndarray) -> Path:
    """A workspace whose index holds these vectors and the encoder's exported text tower."""
    made = create(home / ".vdistill")
    entry = write_index(
        made.index, vectors, "bf16", lists=len(vectors) > 20_000, metadata=lambda n: {"title": f"thing {n}"}
    )
    export_text_encoder(encoder, made.index / "text_encoder" / "x")
    files = tuple(
        FileFacts.measure(made.index, f"text_encoder/x/{path.name}")
        for path in sorted((made.index / "text_encoder" / "x").iterdir())
    )
    source = provenance(made, "backbone", encoder.source)
    manifest.write(made.index, {"backbone": replace(entry, text_encoder=files, made_from=source)})
    with Database.open(made.database) as database:
        database.remember("backbone", encoder.source)
    return home


def memory_of(command: list[str], home: Path) -> float:
    """Peak memory in MiB; asked by a small process, since a child starts with its parent's."""
    told = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    told += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    return float(run([sys.executable, "-c", told, *command], home)[1].split()[-1])


def run(command: list[str], home: Path, stdin: str = "") -> tuple[float, str]:
    """Seconds of the whole process, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=home, input=stdin, capture_output=True, text=True, check=False,
                          env={**os.environ, "HF_HUB_OFFLINE": "1"})  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    options = parser.parse_args()
    source = backbone(options.model)
    encoder = DualEncoder.load(str(source), device="cpu", precision="fp32")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        vectors = _random(rng, 10_000)
        few = workspace(Path(name) / "few", encoder, vectors)
        np.save(Path(name) / "vectors.npy", vectors)
        many = workspace(Path(name) / "many", encoder, data(options.many)[0])
        query = [sys.executable, "-m", "vdistill", "query", "--model", "backbone", "--json"]
        arms = {
            "transformers + torch, 10,000": ([sys.executable, "-c", PLAIN, str(source), f"{name}/vectors.npy"], few),
            "vdistill query, 10,000": (query, few),
            f"vdistill query, {options.many:,}": (query, many),
        }
        found: dict[str, list[float]] = {arm: [] for arm in arms}
        for turn in range(options.rounds + 1):
            for arm, (command, home) in arms.items():
                seconds, _ = run([*command, WISHES[turn % len(WISHES)]], home)
                if turn:  # the first brings the files into the system's cache
                    found[arm].append(seconds)
        show(found, [memory_of([*command, WISHES[0]], home) for command, home in arms.values()])
        batch(query[:-1], few)


def batch(query: list[str], home: Path) -> None:
    """1,000 different queries at once, and some of them alone."""
    texts = [f"{WISHES[n % len(WISHES)]}, number {n}" for n in range(1000)]
    seconds, out = run([*query, "--batch", "-"], home, "\n".join(texts))
    lines = [json.loads(line) for line in out.splitlines()]
    alike = [json.loads(run([*query, "--json", text], home)[1])["results"] == lines[n]["results"]
             for n, text in list(enumerate(texts))[::200]]  # fmt: skip
    print(f"--batch: {len(lines) / seconds:.0f} queries a second; "
          f"{sum(alike)} of {len(alike)} asked alone are answered the same")  # fmt: skip


def show(found: dict[str, list[float]], memory: list[float]) -> None:
    """A line for each kind of process."""
    table = Table(title="whole processes", title_justify="left")
    for column in ("", "seconds", "× faster", "peak MiB"):
        table.add_column(column, justify="left" if not column else "right")
    base = next(iter(found.values()))
    for (arm, times), peak in zip(found.items(), memory, strict=True):
        ratios = [b / t for b, t in zip(base, times, strict=True)]
        cells = [f"{median(v):.2f} [{min(v):.2f}, {max(v):.2f}]" for v in (times, ratios)]
        table.add_row(arm, *cells, f"{peak:,.0f}")
    Console(width=110).print(table)


def _random(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
