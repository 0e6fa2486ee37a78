"""What embedding in int8 or bf16 costs models that were really trained: neighbours, and ranking by the qrels.

    cd SHOP && sh demo.sh        a copy of examples/gift_shop, with its student
    python tests/benchmarks/fast_path_quality.py SHOP
    python tests/benchmarks/fast_path_quality.py --quick        a tiny model on drawn pictures: that it runs

Models: the shop's backbone and student on its images, and all-MiniLM-L6-v2 as an item tower, which reads descriptions.
*Alike* is the share of the ten nearest items that are the ten nearest in float32. nDCG@10 is that of held-out queries
and items. *Chosen* says whether the check that `vdistill index` makes takes this path. With ONEDNN_MAX_CPU_ISA=AVX2
ATEN_CPU_CAPABILITY=avx2 all runs as on a processor with AVX2 alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from side_by_side import CONSOLE, alike, header
from speed_model import drawn, tiny
from torch.nn.functional import normalize

from vdistill.database import Database
from vdistill.distill import sources
from vdistill.encoders.cpu_copy import BF16, INT8, PROBES, CpuCopy, NumericPath, fields_of, near, on_path
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.evaluation.grading import evaluate, means
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.images import load
from vdistill.sources import Source

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"
Embed = Callable[[NumericPath | None], np.ndarray]  # None is float32
Grade = Callable[[np.ndarray], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    header("transformers")
    table = Table("model", "path", "least cosine", "alike", "nDCG@10", "change", "chosen")
    if options.quick:
        with tempfile.TemporaryDirectory() as name:
            encoder = DualEncoder.load(str(tiny(Path(name) / "model")), device="cpu")
            add(table, "tiny", of_images(encoder, drawn(Path(name) / "pictures", 40)), None)
    else:
        os.chdir(options.shop)
        shops(table)
    CONSOLE.print(table)


def shops(table: Table) -> None:
    """The models of a shop, in the present folder."""
    with Database.open(Path(".vdistill/vdistill.db"), write=False) as database:
        found = sources.read(database, print)
        among = Candidates(list(found.items.values()), found.sides.split)
        held_out = from_qrels(read_qrels(Path("qrels.txt")), "qrels", database.queries(), among)
    items = [found.items[key] for key in held_out.items]
    backbone = DualEncoder.load("backbone", device="cpu")
    texts = [backbone.encode_texts(some) for some in (held_out.queries, held_out.titles)]

    def grade(vectors: np.ndarray) -> float:
        return float(means(evaluate(held_out, vectors, *texts))["ndcg@10"])

    student = DualEncoder.load("backbone", adapter=Path(".vdistill/student"), device="cpu")
    for name, encoder in {"backbone": backbone, "student": student}.items():
        add(table, name, of_images(encoder, [item.source for item in items]), grade)
    add(table, "MiniLM", of_texts([str(item.metadata["description"]) for item in items]), grade)


def of_images(encoder: DualEncoder, images: Sequence[Source]) -> Embed:
    """An image tower over pictures."""
    prepare = encoder.preprocessing
    inputs = prepare.stack([prepare.compact(load(image, prepare.target)) for image in images])

    def embed(path: NumericPath | None) -> np.ndarray:
        with torch.inference_mode():
            model = CpuCopy.of(encoder, path) if path else DualEncoder(**{**fields_of(encoder), "precision": "fp32"})
        return model.encode_images(inputs)

    return embed


def of_texts(texts: Sequence[str]) -> Embed:
    """all-MiniLM-L6-v2 over descriptions."""
    from transformers import AutoTokenizer, BertModel

    sys.path.insert(0, str(EXAMPLE))
    from shop.text_tower import _folder

    exact, tokenizer = BertModel.from_pretrained(_folder()).eval(), AutoTokenizer.from_pretrained(_folder())
    batch: Any = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")

    def embed(path: NumericPath | None) -> np.ndarray:
        with torch.inference_mode():
            model = on_path(exact, path) if path else exact
            states, mask = model(**batch).last_hidden_state.float(), batch["attention_mask"][..., None]
            return normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()

    return embed


def add(table: Table, model: str, embed: Embed, grade: Grade | None) -> None:
    """A row for each fast path of this processor."""
    exact = embed(None)
    paths = {"int8": INT8, "bf16": BF16} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else {"int8": INT8}
    base = grade(exact) if grade else float("nan")
    for name, path in paths.items():
        found = embed(path)
        score = grade(found) if grade else float("nan")
        chosen = near(*(torch.from_numpy(some[:PROBES]) for some in (found, exact)), path)
        cells = (
            f"{(found * exact).sum(1).min():.5f}",
            f"{alike(found, exact):.4f}",
            f"{score:.4f}",
            f"{score - base:+.4f}",
        )
        table.add_row(model, name, *cells, "yes" if chosen else "no")


if __name__ == "__main__":
    main()
