"""A dual encoder of ViT-B/32 size with random weights and CLIP's real tokenizer, and catalogs of real photographs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from vdistill.workspace import write_file

DATA = Path(os.environ.get("VDISTILL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def backbone(folder: Path) -> Path:
    """The checkpoint folder; made where it is not there. Queries need sensible lengths, so the end token is CLIP's."""
    if not (folder / "config.json").is_file():
        torch.manual_seed(0)
        tokenizer = CLIPTokenizer.from_pretrained(str(DATA / "clip_tokenizer"))
        ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
        model = CLIPModel(CLIPConfig(text_config={**ends, "vocab_size": len(tokenizer)}))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_file(folder / "preprocessor_config.json", '{"image_processor_type": "CLIPImageProcessor"}')
    return folder


def tiny(folder: Path) -> Path:
    """The checkpoint folder of the tests' CLIP, for --quick."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
    from models import clip

    return clip(folder)


def drawn(folder: Path, count: int) -> list[Path]:
    """Small pictures of noise, for --quick."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / f"{number:04}.jpg")
    return sorted(folder.glob("*.jpg"))


def photographs() -> list[Path]:
    """The grocery photographs. Exits with the reason where they are not there."""
    found = sorted((DATA / "grocery").rglob("*.jpg"))
    if not found:
        raise SystemExit(f"no photographs in {DATA / 'grocery'}: set VDISTILL_DATA to the folder that holds `grocery`")
    return found


def catalog(folder: Path, count: int) -> Path:
    """A folder of `count` photographs: copies of the real ones, each made another file by a comment at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    real = photographs()
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number:07}.jpg"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(real[number % len(real)], path)
            with path.open("ab") as file:
                file.write(number.to_bytes(8, "big"))
    return folder
