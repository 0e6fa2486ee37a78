"""Training the backbone's eyes on fresh drawings with their literal titles, and how well they see."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, normalize, one_hot, pad

from shop.image_tower import Recipe, processor_config
from shop.kinds import DRAWINGS
from shop.render import COLOURS, FINISHES, drawing, products
from shop.stocks.gifts import GIFTS
from shop.stocks.hobbies import HOBBIES
from vdistill.encoders.device import cpu_multiplies_bf16
from vdistill.images import Preprocessing

SIDES = (96, 224)  # pixels, as in the catalog
TEMPLATES = ("{}", "a photo of a {}", "a {}", "picture of a {}")
MOST_SCALE = 100.0
SHIFT = 6  # pixels, each way
CHUNK = 24  # images that are shifted alike
SHOPS = (products(GIFTS.kinds), products(HOBBIES.kinds))
TITLES = [product for goods in SHOPS for product in goods]
_FACTORS = {"kind": tuple(DRAWINGS), "colour": tuple(COLOURS), "finish": FINISHES}


def draw(recipe: Recipe, seed: int, each: int) -> tuple[Tensor, Tensor]:
    """(n, 3, side, side) uint8 drawings as the tower takes them, `each` of every title, and their titles' numbers."""
    jobs, first = [], 0
    for shop, goods in enumerate(SHOPS):
        jobs += [(first + i % len(goods), [seed, 5 + shop, i]) for i in range(each * len(goods))]
        first += len(goods)
    with ProcessPoolExecutor() as pool:
        pixels = np.empty((len(jobs), recipe.pixels, recipe.pixels, 3), np.uint8)
        for row, image in enumerate(pool.map(partial(_draw, recipe), jobs, chunksize=64)):
            pixels[row] = image
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor([title for title, _ in jobs])


def _draw(recipe: Recipe, job: tuple[int, list[int]]) -> np.ndarray:
    title, seed = job
    prepare = Preprocessing.from_processor_config(processor_config(recipe))
    array = prepare(drawing(TITLES[title], np.random.default_rng(seed), SIDES))["pixel_values"]
    return np.round((array.transpose(1, 2, 0) * 0.5 + 0.5) * 255).astype(np.uint8)


def train(model, tokenizer, pixels: Tensor, labels: Tensor, recipe: Recipe) -> None:  # noqa: ANN001
    """Contrastive training of the image tower against the frozen embeddings of all titles, in two turns."""
    for epochs, lr in ((recipe.epochs, recipe.lr), (recipe.second_epochs, recipe.second_lr)):
        _train(model, tokenizer, pixels, labels, replace(recipe, epochs=epochs, lr=lr))


def _train(model, tokenizer, pixels: Tensor, labels: Tensor, recipe: Recipe) -> None:  # noqa: ANN001
    titles, factors = title_vectors(model, tokenizer), factors_of_titles()[labels]
    helpers = nn.ModuleList(nn.Linear(recipe.width, len(values)) for values in _FACTORS.values())
    trainable = [one for one in (*model.parameters(), *helpers.parameters()) if one.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    rng = torch.Generator().manual_seed(recipe.seed)
    per_epoch, started = len(pixels) // recipe.batch, time.monotonic()
    steps = recipe.epochs * per_epoch
    model.train()
    model.text_model.eval()
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(pixels), generator=rng)
        chosen = order[(step % per_epoch) * recipe.batch :][: recipe.batch]
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / 150) * 0.5 * (1 + math.cos(math.pi * step / steps))
        states = _states(model, _augmented(pixels[chosen], rng))
        vectors = normalize(model.visual_projection(states), dim=-1)
        logits = model.logit_scale.exp().clamp(max=MOST_SCALE) * vectors @ titles[step % len(TEMPLATES)].T
        loss = cross_entropy(logits, labels[chosen])
        for number, helper in enumerate(helpers):
            loss = loss + recipe.auxiliary * cross_entropy(helper(states), factors[chosen, number])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            pace = (step + 1) / (time.monotonic() - started)
            print(
                f"  step {step + 1}/{steps}: loss {loss.item():.3f}, {(steps - step) / pace / 60:.0f} min left",
                flush=True,
            )
    model.eval()


def _states(model, images: Tensor) -> Tensor:  # noqa: ANN001
    """(n, width) what the tower sees, in float32; products in bf16 where the processor has them."""
    # The gradient of fused attention is slow on a CPU for sequences as short as these.
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_multiplies_bf16()), sdpa_kernel(SDPBackend.MATH):
        return model.vision_model(pixel_values=images).pooler_output.float()


def _augmented(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Normalised images (n, 3, side, side), shifted by a few pixels, half of them mirrored."""
    side = pixels.shape[-1]
    padded = pad(pixels.float() / 127.5 - 1.0, (SHIFT,) * 4, mode="replicate")
    parts = []
    for part in padded.split(CHUNK):
        x, y = torch.randint(0, 2 * SHIFT + 1, (2,), generator=rng).tolist()
        parts.append(part[:, :, y : y + side, x : x + side])
    images = torch.cat(parts)
    mirrored = torch.rand(len(images), generator=rng) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def title_vectors(model, tokenizer, templates: Sequence[str] = TEMPLATES) -> list[Tensor]:  # noqa: ANN001
    """For each template the unit vectors (titles, dim) of all literal titles."""
    found = []
    for template in templates:
        texts = [template.format(product.title) for product in TITLES]
        with torch.no_grad():
            features = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt"))
        found.append(normalize(getattr(features, "pooler_output", features), dim=-1))
    return found


def factors_of_titles() -> Tensor:
    """(titles, 3) the numbers of each title's kind, colour and finish."""
    rows = [(one.kind, one.colour, one.finish) for one in TITLES]
    return torch.tensor([[v.index(x) for v, x in zip(_FACTORS.values(), row, strict=True)] for row in rows])


def figures(model, tokenizer, recipe: Recipe, seed: int, fit: int = 4, ask: int = 2) -> dict[str, float]:  # noqa: ANN001
    """How well unseen drawings are seen: shares in [0, 1], of `ask` drawings of each title.

    title@1: its own title is the nearest of all to a drawing. literal_recall@1: a drawing is the nearest to its title
    among 172. kind, colour, finish: by a linear reader of the vectors, fitted to `fit` other drawings of each title,
    unseen ones too.
    """
    vectors, labels, rounds = _seen(model, recipe, seed, fit + ask)
    asked, known = vectors[rounds >= fit], vectors[rounds < fit]
    titles, own = title_vectors(model, tokenizer, TEMPLATES[:1])[0], labels[rounds >= fit]
    some = torch.randperm(len(TITLES), generator=torch.Generator().manual_seed(seed))[:172]
    first = torch.stack([(own == title).nonzero()[0, 0] for title in some])
    scores = titles[some] @ asked[first].T
    found = {
        "title@1": _share((asked @ titles.T).argmax(dim=1) == own),
        "literal_recall@1": _share(scores.argmax(dim=1) == torch.arange(len(some))),
    }
    for number, name in enumerate(_FACTORS):
        classes = factors_of_titles()[:, number]
        found[name] = _share(_read(known, classes[labels[rounds < fit]], asked) == classes[own])
    return {name: round(value, 4) for name, value in found.items()}


def _seen(model, recipe: Recipe, seed: int, each: int) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN001
    """Of new drawings the unit vectors (n, dim), the titles (n,), and which of its title's drawings each is (n,)."""
    pixels, labels = draw(recipe, seed, each)
    with torch.inference_mode():
        parts = [model.get_image_features(pixel_values=part.float() / 127.5 - 1.0) for part in pixels.split(128)]
    vectors = normalize(torch.cat([getattr(part, "pooler_output", part) for part in parts]), dim=-1)
    before = one_hot(labels).cumsum(dim=0) - 1
    return vectors, labels, before[torch.arange(len(labels)), labels]


def _read(known: Tensor, classes: Tensor, asked: Tensor, ridge: float = 1e-3) -> Tensor:
    """The classes (n,) that a linear reader (ridge regression onto one-hot classes) of known vectors gives others."""
    inputs, others = (torch.cat([part, torch.ones(len(part), 1)], dim=1).double() for part in (known, asked))
    square = inputs.T @ inputs + ridge * torch.eye(inputs.shape[1], dtype=torch.float64)
    return (others @ torch.linalg.solve(square, inputs.T @ one_hot(classes).double())).argmax(dim=1)


def _share(right: Tensor) -> float:
    return float(right.float().mean())
