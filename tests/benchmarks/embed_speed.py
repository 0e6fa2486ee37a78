"""How fast pictures become vectors, end to end from JPEG: ours beside sentence-transformers and the bare forward.

    python tests/benchmarks/embed_speed.py                 photographs of about 348 px
    python tests/benchmarks/embed_speed.py --large         the same, enlarged to 4,000 × 3,000 px

ViT-B/32 size with random weights, the same in all. Rounds alternate in one run; medians, with the lowest and highest.
Cosines and top 10 (each picture's nearest among the others) are against float32 of the same pixels.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from speed_model import backbone, photographs
from torch.nn.functional import normalize

from vdistill.bundle.items import Row
from vdistill.encoders.bf16_cpu import BATCH as LEAN
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
from vdistill.images import load
from vdistill.index.embedding import BATCH, Embedder
from vdistill.index.vector_cache import VectorCache


def enlarged(paths: list[Path], folder: Path) -> list[Path]:
    """4,000 × 3,000 px copies."""
    made = []
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC).save(
                folder / f"{number:04}.jpg", quality=90
            )
        made.append(folder / f"{number:04}.jpg")
    return made


def ours(encoder: DualEncoder, paths: list[Path]) -> np.ndarray:
    """As `vdistill index` embeds."""
    rows = [Row(number, str(path), str(path), "", 1, 1, "{}") for number, path in enumerate(paths)]
    with tempfile.TemporaryDirectory() as name:
        vector_cache = VectorCache(Path(name), "", "", encoder.dim)
        found = [
            vector
            for _, part, _ in Embedder(Path("/"), replicas(encoder), vector_cache).embedded(rows)
            for vector in part
        ]
    return np.stack([vector for vector in found if vector is not None])


def int8(encoder: DualEncoder) -> DualEncoder:
    """Its image tower's linear layers with int8 weights, and inputs quantized as they come."""
    from torch.ao.quantization import quantize_dynamic

    model = copy.copy(encoder.model)
    tower = quantize_dynamic(copy.deepcopy(model.vision_model), {torch.nn.Linear}, dtype=torch.qint8)
    model._modules = dict(model.named_children()) | {"vision_model": tower}
    return replace(encoder, model=model, precision="fp32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    options = parser.parse_args()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel

    source = str(backbone(options.model))
    with tempfile.TemporaryDirectory() as name:
        every = photographs()
        paths = every[:: max(1, len(every) // options.pictures)][: options.pictures]
        if options.large:
            paths = enlarged(paths, Path(name))
        encoder = DualEncoder.load(source)
        theirs = SentenceTransformer(modules=[CLIPModel(source)], device="cpu")
        prepared = encoder.preprocessing.stack([encoder.preprocessing(load(path, 224)) for path in paths[:BATCH]])
        lean, small = replicas(encoder)[0], int8(encoder)
        pixels = torch.from_numpy(prepared["pixel_values"])

        def bare(model: DualEncoder) -> None:
            with torch.inference_mode():
                for start in range(0, len(paths), LEAN):
                    model.image_features(pixel_values=pixels[: min(LEAN, len(paths) - start)])

        arms: dict[str, Callable[[], object]] = {
            "sentence-transformers": lambda: theirs.encode([Image.open(path) for path in paths], batch_size=32),
            "vdistill": lambda: ours(encoder, paths),
            f"bare forward, {encoder.precision}": lambda: bare(lean),
            "bare forward, int8": lambda: bare(small),
        }
        times: dict[str, list[float]] = {arm: [] for arm in arms}
        for _ in range(options.rounds):
            for arm, run in arms.items():
                started = time.perf_counter()
                run()
                times[arm].append(time.perf_counter() - started)
        show(times, len(paths), "4,000 × 3,000 px" if options.large else "348 px")
        exact = replace(encoder, precision="fp32")
        wanted = ours(exact, paths)
        compare("vdistill", ours(encoder, paths), wanted)
        compare("int8", ours(small, paths), wanted)


def show(times: dict[str, list[float]], count: int, what: str) -> None:
    """Pictures a second, and how many times the first arm's."""
    table = Table(title=f"{count} JPEGs of {what}, {torch.get_num_threads()} threads", title_justify="left")
    for column in ("", "pictures/s", "× sentence-transformers"):
        table.add_column(column, justify="left" if not column else "right")
    base = times["sentence-transformers"]
    for arm, seconds in times.items():
        rates = [count / one for one in seconds]
        ratios = [a / b for a, b in zip(base, seconds, strict=True)]
        table.add_row(arm, _spread(rates, ".1f"), _spread(ratios, ".2f"))
    Console(width=100).print(table)


def compare(arm: str, found: np.ndarray, exact: np.ndarray) -> None:
    """Against float32."""
    cosines = (found * exact).sum(axis=1)
    tops = [_top(found), _top(exact)]
    overlap = np.mean([len({*a} & {*b}) / 10 for a, b in zip(*tops, strict=True)])
    # The tower of random weights gives all pictures nearly one vector; what is left is what tells them apart.
    centred = [normalize(torch.from_numpy(part - exact.mean(axis=0)), dim=1).numpy() for part in (found, exact)]
    print(f"{arm}: least cosine {cosines.min():.5f}, top 10 overlap {overlap:.4f}, without what all pictures share: "
          f"median cosine {np.median((centred[0] * centred[1]).sum(axis=1)):.4f}")  # fmt: skip


def _top(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def _spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


if __name__ == "__main__":
    main()
