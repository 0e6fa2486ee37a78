"""How fast pictures become vectors, end to end from JPEG: ours beside sentence-transformers and the bare forward.

    python tests/benchmarks/embed_speed.py                 photographs of about 348 px
    python tests/benchmarks/embed_speed.py --large         the same, enlarged to 4,000 × 3,000 px
    python tests/benchmarks/embed_speed.py --quick         a tiny model and few drawn pictures: that it runs

ViT-B/32 size with random weights, the same in all. Ours includes making the fast copy of the model and trying it on the
first pictures, as `vdistill index` does. Cosines and top 10 (each picture's nearest among the others) are against
float32 of the same pixels. With ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 all arms
run as on a processor with AVX2 alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from side_by_side import CONSOLE, alike, alternate, header, show
from speed_model import backbone, drawn, photographs, tiny
from torch import Tensor

from vdistill.bundle.items import Row
from vdistill.encoders.cpu_copy import BF16, INT8, CpuCopy, NumericPath, fields_of
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
            vector for _, part, _ in Embedder("/", replicas(encoder), vector_cache).embedded(rows) for vector in part
        ]
    return np.stack([vector for vector in found if vector is not None])


def theirs(source: str) -> Callable[[list[Path]], object]:
    """sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import CLIPModel

    model = SentenceTransformer(modules=[CLIPModel(source)], device="cpu")
    return lambda paths: model.encode([Image.open(path) for path in paths], batch_size=32)


def forward(model: DualEncoder, pixels: Tensor, count: int) -> None:
    """The model alone, on batches of as many images as an index embeds at once."""
    with torch.inference_mode():
        for start in range(0, count, BATCH):
            model.image_features(pixel_values=pixels[: min(BATCH, count - start)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    header("sentence-transformers")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick:
            measure(DualEncoder.load(str(tiny(folder / "model"))), drawn(folder / "pictures", 24), 2)
            return
        every = photographs()
        paths = every[:: max(1, len(every) // options.pictures)][: options.pictures]
        paths = enlarged(paths, folder) if options.large else paths
        measure(DualEncoder.load(str(backbone(options.model))), paths, options.rounds)


def measure(encoder: DualEncoder, paths: list[Path], rounds: int) -> None:
    """All arms, and how near they are to float32."""
    prepare = encoder.preprocessing
    prepared = prepare.stack([prepare(load(path, prepare.target)) for path in paths[:BATCH]])
    pixels = torch.from_numpy(prepared["pixel_values"])
    exact = DualEncoder(**{**fields_of(encoder), "precision": "fp32"})
    with torch.inference_mode():
        copies = {name: CpuCopy.of(encoder, path) for name, path in paths_of(encoder).items()}
    arms: dict[str, Callable[[], object]] = {"vdistill": lambda: ours(encoder, paths)}
    if importlib.util.find_spec("sentence_transformers"):
        peer = theirs(encoder.source)
        arms = {"sentence-transformers": lambda: peer(paths), **arms}
    for name, model in {**copies, "float32": exact}.items():
        arms[f"bare forward, {name}"] = lambda model=model: forward(model, pixels, len(paths))  # type: ignore[misc]
    for run in arms.values():
        run()  # the first round of anything is slower
    show(f"{len(paths)} JPEGs, {torch.get_num_threads()} threads", alternate(arms, rounds), len(paths), "pictures")
    wanted = vectors(exact, paths)
    for name, model in copies.items():
        compare(name, vectors(model, paths), wanted)
    compare("vdistill", ours(encoder, paths), wanted)


def paths_of(encoder: DualEncoder) -> dict[str, NumericPath]:
    """The fast numeric paths of this processor."""
    return {"int8": INT8, "bf16": BF16} if encoder.precision == "bf16" else {"int8": INT8}


def vectors(model: DualEncoder, paths: list[Path]) -> np.ndarray:
    """By the model itself, without choosing a path."""
    prepare = model.preprocessing
    parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    return np.concatenate([model.encode_images(prepare.stack([prepare.compact(load(path, prepare.target))
                                                              for path in part])) for part in parts])  # fmt: skip


def compare(arm: str, found: np.ndarray, exact: np.ndarray) -> None:
    """Against float32."""
    least = (found * exact).sum(axis=1).min()
    CONSOLE.print(f"{arm}: least cosine {least:.5f}, top 10 alike {alike(found, exact):.4f}")


if __name__ == "__main__":
    main()
