"""Put the shop's backbone together: a small CLIP that knows literal titles, and nothing of what people love.

Its text tower is the real all-MiniLM-L6-v2, frozen. Its image tower is shipped with the example (image_tower/): trained
once from nothing, on freshly drawn images with their titles, none of which is in the catalog; `--retrain` does so
anew, which takes the better part of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import torch
from transformers.utils import logging

from shop import image_tower
from shop.image_tower import Recipe, processor_config
from shop.text_tower import sentence_tower


def main() -> None:
    """Make the backbone where it is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "backbone")
    parser.add_argument("--retrain", action="store_true", help="train the image tower anew, and ship that one")
    parser.add_argument("--measure", action="store_true", help="print what the shipped one sees on unseen drawings")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if options.retrain:
        retrain(Recipe())
    if options.measure:
        print(json.dumps(measure()))
        return
    stamp, wanted = options.out / ".made", image_tower.RECIPE.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        print(f"the backbone is there already: {options.out}")
        return
    text, tokenizer = sentence_tower()
    model, recipe = image_tower.shipped(text)
    save(model, tokenizer, recipe, options.out, wanted)
    print(f"backbone in {options.out}")


def retrain(recipe: Recipe) -> None:
    """Draw, train, measure on unseen drawings, and write image_tower/."""
    from shop import tower_training

    started = time.monotonic()
    text, tokenizer = sentence_tower()
    torch.manual_seed(recipe.seed)
    model = image_tower.new_model(text, recipe)
    pixels, labels = tower_training.draw(recipe, recipe.seed, recipe.drawings)
    print(f"drew {len(pixels)} images to train on ({time.monotonic() - started:.0f} s)", flush=True)
    tower_training.train(model, tokenizer, pixels, labels, recipe)
    found = tower_training.figures(model, tokenizer, recipe, recipe.seed + 1)
    image_tower.ship(model, recipe, found)
    print(f"trained in {time.monotonic() - started:.0f} s; unseen drawings: {found}")


def measure() -> dict[str, float]:
    """The figures of the shipped image tower on drawings that neither training nor its recipe's figures saw."""
    from shop import tower_training

    text, tokenizer = sentence_tower()
    model, recipe = image_tower.shipped(text)
    return tower_training.figures(model, tokenizer, recipe, recipe.seed + 2, fit=1, ask=1)


def save(model, tokenizer, recipe: Recipe, out: Path, stamp: str) -> None:  # noqa: ANN001
    """Write the folder aside, and put it in place whole."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    settings = {key: value for key, value in processor_config(recipe).items() if key != "image_processor_type"}
    CLIPImageProcessorPil(**settings).save_pretrained(aside)
    (aside / ".made").write_text(stamp, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)


if __name__ == "__main__":
    main()
