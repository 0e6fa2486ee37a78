"""What an epoch costs: a plain loop beside ours, and how the cost grows.

    python tests/benchmarks/distill_speed.py loops --pictures FOLDER --tokenizer FOLDER
    python tests/benchmarks/distill_speed.py loops --quick       a tiny model and few drawn pictures: that it runs
    python tests/benchmarks/distill_speed.py curves --tokenizer FOLDER --plot curves.png

The folders hold at least `--images` JPEG files (500), and the tokenizer of a CLIP.

`loops`: a CLIP of ViT-B/32 size with random weights, 500 JPEG files, 100 queries with 5 calls of 8 pictures each, all
in one run. The plain loop is peft and transformers as published code uses them: for each batch of 8 calls the pictures
are opened, preprocessed and encoded, in float32. Ours is `vdistill.distill`: with all blocks, and with the last two on
a warm cache of what lies below. A picture shown in a call counts once, so the rates are those of comparisons. The
plain loop runs for `--plain` seconds; its rate does not change with time. Ours then trains for at most half as long,
and the losses on the same calls are compared. Peak memory is that of a process of its own for each.

`curves`: seconds an epoch, by the number of images and by that of queries, from pixels that are there already.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from commands import forked, run
from rich.console import Console
from rich.table import Table
from side_by_side import header
from speed_model import drawn, tiny

from vdistill.distill.adapter import attach
from vdistill.distill.callbacks import Callbacks
from vdistill.distill.choices import Calls
from vdistill.distill.frozen_int8 import frozen_in_int8
from vdistill.distill.loop import Loop, Training
from vdistill.distill.losses import listwise_loss
from vdistill.distill.retention import Titles, titles_of
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import BATCH, Tower, TowerMaker, TrainingImages, WholeTower, embed
from vdistill.distill.training_data import TrainingData
from vdistill.distill.wordings import Wordings, wordings_of
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FeatureCache
from vdistill.encoders.frozen_layers import frozen_layers_of
from vdistill.images import file_sha256

SETTINGS = DistillSettings(lr=5e-4, batch_images=64, retention=0.3, validation=0.0, patience=0)
SHOWN, POOL = 8, 64


def calls_of(images: int, queries: int, per_query: int, seed: int = 0) -> Calls:
    """Random calls from shared pools; what is preferred hangs on query and image."""
    rng = np.random.default_rng(seed)
    pools = np.array_split(rng.permutation(images), max(1, images // POOL))
    taste = rng.normal(size=(queries, 4)) @ rng.normal(size=(4, images))
    query = np.repeat(np.arange(queries), per_query)
    pool = rng.integers(len(pools), size=len(query))
    image = np.stack([rng.choice(pools[number], SHOWN, replace=False) for number in pool])
    utility = taste[query[:, None], image]
    target = np.exp(utility) / np.exp(utility).sum(axis=1, keepdims=True)
    return Calls(
        queries=tuple(f"query {number}" for number in range(queries)),
        items=tuple(f"{number:05}" for number in range(images)),
        query=query,
        image=image,
        shown=np.ones(image.shape, bool),
        target=target.astype(np.float32),
        pool=pool,
        weight=np.ones(images, np.float32),
        mass=np.ones(len(query), np.float32),
    )


def make_clip(folder: Path, tokenizer: Path) -> str:
    """A CLIP of ViT-B/32 size with random weights, saved with its tokenizer and image processor."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    CLIPTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return str(folder)


def as_asked(texts: torch.Tensor) -> Wordings:
    """Queries in one wording each."""
    return wordings_of(texts, [[""]] * len(texts))


def texts_of(encoder: DualEncoder, count: int) -> torch.Tensor:
    vectors = torch.randn(count, encoder.dim, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(vectors, dim=1)


def untitled(before: torch.Tensor) -> Titles:
    return titles_of([""] * len(before), before, lambda _: before[:0], 1.0)


def loss_of(vectors: torch.Tensor, texts: torch.Tensor, calls: Calls) -> float:
    """The listwise loss over all calls."""
    scores = (texts[torch.from_numpy(calls.query)][:, None] * vectors[torch.from_numpy(calls.image)]).sum(dim=2)
    shown, weight = torch.from_numpy(calls.shown), torch.from_numpy(calls.weight[calls.image])
    target, mass = torch.from_numpy(calls.target), torch.from_numpy(calls.mass)
    return float(listwise_loss(scores, target, shown, weight, mass, SETTINGS.temperature))


def plain(model: str, paths: list[Path], calls: Calls, seconds: float) -> dict[str, float]:
    """peft and transformers, pictures opened and encoded for each batch of calls."""
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    encoder = DualEncoder.load(model, device="cpu", precision="fp32")
    texts = texts_of(encoder, len(calls.queries))
    start = loss_of(embed(WholeTower(encoder, TrainingImages(paths, encoder.preprocessing))), texts, calls)
    attach(encoder, SETTINGS)
    processor = CLIPImageProcessorPil.from_pretrained(model)
    trainable = [parameter for parameter in encoder.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=SETTINGS.lr, weight_decay=0.01)
    rng, shown, began = np.random.default_rng(0), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        for rows in np.array_split(rng.permutation(len(calls.query)), len(calls.query) // 8):
            images = [Image.open(paths[number]).convert("RGB") for number in calls.image[rows].ravel()]
            pixels = processor(images=images, return_tensors="pt")["pixel_values"]
            features = encoder.model.get_image_features(pixel_values=pixels).pooler_output
            vectors = torch.nn.functional.normalize(features, dim=1).view(len(rows), SHOWN, -1)
            scores = (texts[torch.from_numpy(calls.query[rows])][:, None] * vectors).sum(dim=2)
            target = torch.from_numpy(calls.target[rows])
            loss = -(target * torch.log_softmax(scores / SETTINGS.temperature, dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            shown += rows.size * SHOWN
            if time.monotonic() - began >= seconds:
                break
    spent = time.monotonic() - began
    encoder.model.eval()
    end = loss_of(embed(WholeTower(encoder, TrainingImages(paths, encoder.preprocessing))), texts, calls)
    return {"rate": shown / spent, "seconds": spent, "epochs": shown / calls.image.size, "before": start, "after": end}


def ours(
    model: str, paths: list[Path], calls: Calls, seconds: float, layers: int | None, cache: Path
) -> dict[str, float]:
    """The training loop of `vdistill distill`, from the files."""
    settings = replace(SETTINGS, train_layers=layers, epochs=1000)
    encoder = DualEncoder.load(model)
    texts = texts_of(encoder, len(calls.queries))
    hashes = [file_sha256(path) for path in paths]
    frozen = frozen_layers_of(encoder, layers)
    tower = TowerMaker(encoder, FeatureCache(cache, frozen) if frozen else None, 1e12).tower(paths, hashes)
    before = embed(tower)
    attach(encoder, settings)
    data = TrainingData(calls, tower, as_asked(texts), before, untitled(before))
    with frozen_in_int8(encoder, tower):
        probe = Loop(Training(encoder, data, settings, Callbacks(lambda _: None)))
        began = time.monotonic()
        probe.epoch()  # how many epochs the time is worth, so that the learning rate comes down
        each = time.monotonic() - began
    encoder = DualEncoder.load(model)
    frozen = frozen_layers_of(encoder, layers)
    tower = TowerMaker(encoder, FeatureCache(cache, frozen) if frozen else None, 1e12).tower(paths, hashes)
    settings = replace(settings, epochs=int(np.clip(seconds / each, 1, 60)))
    attach(encoder, settings)
    with frozen_in_int8(encoder, tower):
        loop = Loop(Training(encoder, replace(data, tower=tower), settings, Callbacks(lambda _: None)))
        began = time.monotonic()
        while not loop.finished:
            loop.epoch()
        spent = time.monotonic() - began
    encoder.model.eval()
    return {
        "rate": settings.epochs * calls.image.size / spent,
        "seconds": spent,
        "epochs": settings.epochs,
        "before": loss_of(before, texts, calls),
        "after": loss_of(embed(tower), texts, calls),
    }


def one(arguments: argparse.Namespace) -> None:
    """One arm, in a process of its own: prints a line of JSON."""
    paths = sorted(Path(arguments.pictures).rglob("*.jpg"))[: arguments.images]
    calls = calls_of(len(paths), len(paths) // 5, 5)
    if arguments.arm == "plain":
        found = plain(arguments.model, paths, calls, arguments.plain)
    else:
        layers = None if arguments.arm == "all blocks" else 2
        found = ours(arguments.model, paths, calls, arguments.plain / 2, layers, Path(arguments.cache))
    found["memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps(found))


def loops(arguments: argparse.Namespace) -> None:
    header("transformers", "peft")
    images = arguments.images
    table = Table(title=f"{images} pictures, {images // 5} queries × 5 calls of 8", title_justify="left")
    for column in ("loop", "pictures in comparisons a second", "times plain", "epochs", "seconds", "loss", "peak GiB"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    with tempfile.TemporaryDirectory() as name:
        if arguments.quick:
            model, arguments.pictures = str(tiny(Path(name) / "clip")), drawn(Path(name) / "pictures", images)[0].parent
        else:
            model = make_clip(Path(name) / "clip", arguments.tokenizer)
        first = 0.0
        for arm in ("plain", "all blocks", "last two blocks, warm cache"):
            command = [sys.executable, __file__, "one", "--arm", arm, "--model", model, "--cache", f"{name}/cache",
                       "--pictures", str(arguments.pictures), "--plain", str(arguments.plain),
                       "--images", str(images)]  # fmt: skip
            part = argparse.Namespace(**vars(arguments) | {"arm": arm, "model": model, "cache": f"{name}/cache"})
            said = forked(partial(one, part)) if arguments.quick else run(command, Path.cwd())
            found = json.loads(said.splitlines()[-1])
            first = first or found["rate"]
            cells = (f"{found['rate']:.0f}", f"{found['rate'] / first:.1f}", f"{found['epochs']:.1f}",
                     f"{found['seconds']:.0f}", f"{found['before']:.3f} → {found['after']:.3f}",
                     f"{found['memory_gib']:.2f}")  # fmt: skip
            table.add_row(arm, *cells)
            print(arm, *cells, flush=True)
    Console(width=140).print(table)


class Pixels:
    """Pictures that are there already."""

    def __init__(self, count: int, side: int) -> None:
        self._all = np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)

    def __len__(self) -> int:
        return len(self._all)

    def batch(self, numbers: list[int]) -> dict[str, np.ndarray]:
        return {"pixel_values": self._all[numbers]}


def epoch_seconds(model: str, images: int, queries: int, rounds: int) -> float:
    encoder = DualEncoder.load(model)
    tower: Tower = WholeTower(encoder, Pixels(images, 224))  # type: ignore[arg-type]
    before = torch.nn.functional.normalize(torch.randn(images, encoder.dim), dim=1)
    attach(encoder, SETTINGS)
    calls = calls_of(images, queries, max(10, images * 2 // queries))
    assert len(np.unique(calls.image)) == images, "every image is in a call"
    data = TrainingData(calls, tower, as_asked(texts_of(encoder, queries)), before, untitled(before))
    found = []
    with frozen_in_int8(encoder, tower):
        loop = Loop(Training(encoder, data, SETTINGS, Callbacks(lambda _: None)))
        tower.features(np.arange(min(BATCH, images)))
        for _ in range(rounds):
            began = time.monotonic()
            loop.epoch()
            found.append(time.monotonic() - began)
    return float(np.median(found))


def curves(arguments: argparse.Namespace) -> None:
    by_images, by_queries = {}, {}
    with tempfile.TemporaryDirectory() as name:
        model = make_clip(Path(name) / "clip", arguments.tokenizer)
        for images in (250, 500, 1000, 2000):
            by_images[images] = epoch_seconds(model, images, 100, 1 if images > 500 else 3)
            print(f"{images} images, 100 queries: {by_images[images]:.1f} s an epoch", flush=True)
        for queries in (10, 100, 1000):
            by_queries[queries] = epoch_seconds(model, 500, queries, 3)
            print(f"500 images, {queries} queries: {by_queries[queries]:.1f} s an epoch", flush=True)
    if arguments.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3), layout="constrained")
        for place, (title, found) in enumerate((("images", by_images), ("queries", by_queries))):
            axes = figure.add_subplot(1, 2, place + 1)
            axes.plot(list(found), list(found.values()), marker="o")
            axes.set_xscale("log")
            axes.set_yscale("log" if title == "images" else "linear")
            axes.set_ylim(bottom=0 if title == "queries" else None)
            axes.set_xlabel(title)
            axes.set_ylabel("seconds an epoch")
        figure.savefig(arguments.plot, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="loops", choices=["loops", "curves", "one"])
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--plain", type=float, default=240.0)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.plain = 40, 0.5
    {"loops": loops, "curves": curves, "one": one}[arguments.part](arguments)


if __name__ == "__main__":
    main()
