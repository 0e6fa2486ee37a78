"""Fixed learning rates against `--lr auto`, on towers that were trained before and on one that was not.

    python examples/gift_shop/make_shop.py --out SHOP; cp examples/gift_shop/vdistill.toml SHOP
    python examples/gift_shop/make_backbone.py --out SHOP/backbone; (cd SHOP && vdistill label)
    python tests/benchmarks/learning_rates.py SHOP [--towers minilm shop vit-b-32] [--seeds 1] [--epochs 20]

Towers: `minilm` is all-MiniLM-L6-v2 reading descriptions of items, with LoRA on attention and feed-forward layers;
`shop` is the example's image tower; `vit-b-32` a ViT-B/32 of random weights for images of 96 pixels. The text tower of
the queries is the example's, frozen. nDCG@10 by the shop's qrels and the literal recall@1, on held-out queries, titles
and items. A description does not hold the title, so for `minilm` literal recall is that of titles among descriptions.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import made_shop
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vdistill.database import Database
from vdistill.distill import sources
from vdistill.distill.adapter import attach
from vdistill.distill.callbacks import Callbacks, tracker
from vdistill.distill.checkpoint import Checkpoint
from vdistill.distill.loop import Training
from vdistill.distill.phases import train
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import TowerMaker, embed
from vdistill.distill.training_data import training_data_of
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.evaluation.grading import evaluate, means
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, nargs="?", default=made_shop.SHOP)
    parser.add_argument("--towers", nargs="+", default=["minilm", "shop", "vit-b-32"])
    parser.add_argument("--rates", nargs="*", type=float, default=RATES)
    parser.add_argument("--no-auto", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        made_shop.require(options.shop, "qrels.txt", ".vdistill/vdistill.db")
        options.towers, options.rates, options.no_auto, options.epochs = ["shop"], [0.003], True, 1
    os.chdir(options.shop)
    with Database.open(Path(".vdistill/vdistill.db"), write=False) as database:
        found = sources.read(database, print)
        among = Candidates(list(found.items.values()), found.sides.split)
        shop = Shop(found, from_qrels(read_qrels(Path("qrels.txt")), "qrels", database.queries(), among))
    for name in options.towers:
        for seed in range(options.seeds):
            for rate in (*options.rates, *([] if options.no_auto else [None])):
                settings = replace(DistillSettings(), lr=rate or "auto", epochs=options.epochs, seed=seed)
                print(f"{name:9} seed {seed} lr {rate or 'auto':<8}", shop.measured(name, settings), flush=True)


@dataclass(frozen=True)
class Shop:
    """The shop's judgments and its held-out set."""

    sources: sources.Sources
    held_out: Any

    def measured(self, name: str, settings: DistillSettings) -> str:
        """One training, and what came of it."""
        towers = TOWERS[name](self.sources)
        encoder = towers.encoder
        data = training_data_of(self.sources, towers, encoder.encode_texts, settings, lambda _: None)
        backbone = self._graded(towers)
        attach(encoder, settings)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, tracker(None, Path(folder), {}) as log:
            callbacks = Callbacks(lambda _: None, log, lambda text: print("   ", text, flush=True))
            trained = train(Training(encoder, data, settings, callbacks), Checkpoint(Path(folder) / "c", "key"))
        seconds = time.monotonic() - started
        student = self._graded(towers)
        validation = trained.validation
        chosen = getattr(trained, "lr", None)
        return (
            f"nDCG@10 {student['ndcg@10']:.3f} (backbone {backbone['ndcg@10']:.3f}), literal R@1 "
            f"{student['literal_recall@1']:.3f} ({backbone['literal_recall@1']:.3f}), validation "
            f"{validation['student']:.3f} ({validation['backbone']:.3f}), kept {trained.kept}, "
            f"restarts {len(trained.restarts)}, lr {chosen}, {seconds:.0f} s"
        )

    def _graded(self, towers: TowerMaker) -> dict[str, float]:
        items = [self.sources.items[key] for key in self.held_out.items]
        tower = towers.tower([item.file for item in items], [self.sources.hashes[item.id] for item in items])
        towers.encoder.model.eval()
        texts = (towers.encoder.encode_texts(some) for some in (self.held_out.queries, self.held_out.titles))
        return means(evaluate(self.held_out, embed(tower).numpy(), *texts))


def of_shop(_: sources.Sources) -> TowerMaker:
    """The example's own image tower."""
    return TowerMaker(DualEncoder.load("backbone", device="cpu"), None, 0)


def of_vit(_: sources.Sources) -> TowerMaker:
    """A ViT-B/32 of random weights, for images of 96 pixels, beside the example's text tower."""
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
        ViTModel,
    )

    shop = VisionTextDualEncoderModel.from_pretrained("backbone")
    torch.manual_seed(0)
    vision = ViTModel(ViTConfig(patch_size=32, image_size=96), add_pooling_layer=True)
    size = shop.config.projection_dim
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision.config, shop.text_model.config, projection_dim=size
    )
    model = VisionTextDualEncoderModel(config, vision, shop.text_model)
    model.logit_scale = shop.logit_scale
    model.text_projection = shop.text_projection
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained("backbone").save_pretrained(folder)
        CLIPImageProcessor(size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96}).save_pretrained(folder)
        return TowerMaker(DualEncoder.load(folder, device="cpu"), None, 0)


def of_minilm(found: sources.Sources) -> TowerMaker:
    """all-MiniLM-L6-v2 over descriptions in place of an image tower."""
    from transformers import AutoTokenizer

    sys.path.insert(0, str(EXAMPLE))
    from transformers import BertModel

    from shop.text_tower import _folder

    folder = _folder()
    reader = Reader(
        BertModel.from_pretrained(folder).requires_grad_(False).eval(),
        AutoTokenizer.from_pretrained(folder),
        DualEncoder.load("backbone", device="cpu"),
    )
    return Descriptions(reader, {item.file: item.metadata["description"] for item in found.items.values()})


@dataclass
class Reader:
    """A text model in the part of a dual encoder's image tower; queries and titles are read by the example's tower."""

    model: nn.Module
    tokenizer: Any
    texts: DualEncoder
    source = "all-MiniLM-L6-v2"
    device, on_cpu, logit_scale = torch.device("cpu"), True, 20.0

    def encode_texts(self, texts: Any) -> np.ndarray:
        """As the example's text tower."""
        return self.texts.encode_texts(texts)

    def lora_targets(self, _: int | None) -> list[str]:
        """Attention and feed-forward layers."""
        linears = [name for name, module in self.model.named_modules() if isinstance(module, nn.Linear)]
        return [name for name in linears if name.startswith("encoder.")]


@dataclass(frozen=True)
class Descriptions:
    """Makes towers over descriptions."""

    encoder: Any
    described: dict[Path, str]

    def tower(self, paths: Any, _hashes: Any, _processes: Any = None) -> DescriptionTower:
        """The tower over the descriptions of these items."""
        return DescriptionTower(self.encoder, [self.described[path] for path in paths])


@dataclass(frozen=True)
class DescriptionTower:
    """The vectors of descriptions: the mean over the last states of their tokens."""

    encoder: Any
    texts: list[str]
    crops = False

    def __len__(self) -> int:
        return len(self.texts)

    def features(self, numbers: np.ndarray, _crops: Any = None) -> Tensor:
        """(n, dim) unit vectors."""
        texts = [self.texts[number] for number in numbers]
        batch = self.encoder.tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16, enabled=self.encoder.texts.precision == "bf16"):
            states = self.encoder.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None]
        return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


TOWERS = {"minilm": of_minilm, "shop": of_shop, "vit-b-32": of_vit}

if __name__ == "__main__":
    main()
