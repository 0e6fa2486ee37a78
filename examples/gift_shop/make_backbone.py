"""Train the shop's backbone: a small CLIP that knows literal titles, and nothing of what people love.

Its text tower is the real all-MiniLM-L6-v2, frozen; its image tower starts from nothing and sees freshly drawn
pictures, none of which is in the catalog.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from transformers.utils import logging

from shop.render import picture, products
from shop.text_tower import sentence_tower

VERSION = "1"
PIXELS, PATCH, WIDTH, DEPTH, HEADS = 64, 16, 192, 6, 6
PICTURES, EPOCHS, BATCH, RATE = 9 * 864, 20, 192, 1.5e-3
TEMPLATES = ("{}", "a photo of a {}", "a {}", "picture of a {}")
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def main() -> None:
    """Make the backbone where it is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "backbone")
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    stamp = options.out / ".made"
    wanted = f"{VERSION} seed {options.seed}"
    if stamp.is_file() and stamp.read_text() == wanted:
        print(f"the backbone is there already: {options.out}")
        return
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(options.seed)
    started = time.monotonic()
    pixels, labels = draw(options.seed)
    print(f"drew {len(pixels)} pictures to learn from ({time.monotonic() - started:.0f} s)")
    model, tokenizer = new_model()
    train(model, tokenizer, pixels, labels, options.seed)
    found = report(model, tokenizer, options.seed)
    print(f"trained in {time.monotonic() - started:.0f} s; titles of unseen pictures: {found}")
    save(model, tokenizer, options.out, wanted)


def draw(seed: int, count: int = PICTURES) -> tuple[Tensor, Tensor]:
    """(n, 3, side, side) uint8 pictures, a little larger than the model takes, and the number of each one's title."""
    goods = products()
    labels = [number % len(goods) for number in range(count)]
    with ProcessPoolExecutor() as pool:
        parts = list(pool.map(_draw, labels, [[seed, 5, i] for i in range(count)], chunksize=64))
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2), torch.tensor(labels)


def _draw(label: int, seed: list[int]) -> np.ndarray:
    from vdistill.images import Preprocessing

    image = picture(products()[label], np.random.default_rng(seed), (80, 140))
    crop = Preprocessing.from_processor_config(processor_config())
    array = crop(image)["pixel_values"]
    return np.round((array.transpose(1, 2, 0) * 0.5 + 0.5) * 255).astype(np.uint8)


def processor_config() -> dict[str, object]:
    """How pictures come to the image tower."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": PIXELS},
        "crop_size": {"height": PIXELS, "width": PIXELS},
        "image_mean": MEAN,
        "image_std": STD,
    }


def new_model():  # noqa: ANN201
    """The dual encoder with an untrained image tower, and its tokenizer."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    text, tokenizer = sentence_tower()
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        image_size=PIXELS, patch_size=PATCH, projection_dim=text.config.hidden_size,
    )  # fmt: skip
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, text.config, projection_dim=text.config.hidden_size, logit_scale_init_value=math.log(20.0)
    )
    model = VisionTextDualEncoderModel(config=config, vision_model=CLIPVisionModel(vision), text_model=text)
    with torch.no_grad():  # MiniLM's own geometry is the space that both towers meet in
        model.text_projection.weight.copy_(torch.eye(text.config.hidden_size))
    model.text_model.requires_grad_(False)
    model.text_projection.requires_grad_(False)
    return model, tokenizer


def train(model, tokenizer, pixels: Tensor, labels: Tensor, seed: int) -> None:  # noqa: ANN001
    """Contrastive training of the image tower against the embeddings of all titles."""
    titles = _title_vectors(model, tokenizer)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=RATE, weight_decay=0.05, betas=(0.9, 0.98))
    rng = torch.Generator().manual_seed(seed)
    steps = EPOCHS * (len(pixels) // BATCH)
    model.train()
    model.text_model.eval()
    for step in range(steps):
        if step % (len(pixels) // BATCH) == 0:
            order = torch.randperm(len(pixels), generator=rng)
        chosen = order[(step * BATCH) % (len(pixels) - BATCH) :][:BATCH]
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        images = _augmented(pixels[chosen], rng)
        with torch.autocast("cpu", torch.bfloat16):
            features = model.get_image_features(pixel_values=images)
        features = normalize(getattr(features, "pooler_output", features).float(), dim=-1)
        logits = model.logit_scale.exp().clamp(max=60.0) * features @ titles[step % len(TEMPLATES)].T
        loss = cross_entropy(logits, labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"  step {step + 1}/{steps}: loss {loss.item():.3f}", flush=True)
    model.eval()


def _augmented(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Normalised pictures (n, 3, side, side), shifted by a few pixels, half of them mirrored."""
    images = pixels.float() / 127.5 - 1.0
    padded = torch.nn.functional.pad(images, (5, 5, 5, 5), mode="replicate")
    x, y = torch.randint(0, 11, (2,), generator=rng).tolist()
    images = padded[:, :, y : y + PIXELS, x : x + PIXELS]
    mirrored = torch.rand(len(images), generator=rng) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def _title_vectors(model, tokenizer) -> list[Tensor]:  # noqa: ANN001
    """For each template the unit vectors (titles, dim) of all literal titles."""
    found = []
    with torch.inference_mode():
        for template in TEMPLATES:
            texts = [template.format(product.title) for product in products()]
            features = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt"))
            found.append(normalize(getattr(features, "pooler_output", features), dim=-1))
    return [vectors.clone() for vectors in found]


def report(model, tokenizer, seed: int) -> str:  # noqa: ANN001
    """How often the title of an unseen picture finds it among 172, as a fifth of the catalog has."""
    pixels, labels = draw(seed + 1, 864)
    with torch.inference_mode():
        parts = [model.get_image_features(pixel_values=part.float() / 127.5 - 1.0) for part in pixels.split(128)]
        features = normalize(torch.cat([getattr(part, "pooler_output", part) for part in parts]), dim=-1)
    some = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))[:172]
    ranks = _ranks(_title_vectors(model, tokenizer)[0][labels[some]] @ features[some].T)
    return f"R@1 {(ranks < 1).float().mean():.2f}, R@10 {(ranks < 10).float().mean():.2f}"


def _ranks(scores: Tensor) -> Tensor:
    return (scores > scores.diagonal()[:, None]).sum(dim=1)


def save(model, tokenizer, out: Path, stamp: str) -> None:  # noqa: ANN001
    """Write the folder aside, and put it in place whole."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    settings = {key: value for key, value in processor_config().items() if key != "image_processor_type"}
    CLIPImageProcessorPil(**settings).save_pretrained(aside)
    (aside / ".made").write_text(stamp)
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()[:12]
    print(f"backbone in {out} (weights {digest})")


if __name__ == "__main__":
    main()
