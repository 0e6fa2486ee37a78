"""A small labelled shop to train on, and what a training leaves behind."""

import json

import torch

from command_line import vdistill, write_scores
from drawings import COLOURS, SHAPES, draw
from vdistill.distill import callbacks
from vdistill.distill.adapter import attach
from vdistill.distill.checkpoint import trained as parameters
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.dual_encoder import DualEncoder

TRAIN = ["distill", "--epochs", 4, "--rank", 4, "--batch-images", 40, "--validation", 0.3, "--lr", 1e-3,
         "--device", "cpu", "--precision", "fp32", "--fields", "image", "--reader", 0, "--json"]  # fmt: skip


class Prepared:
    """Images that are there already, as an encoder takes them."""

    def __init__(self, prepare, images):
        self._prepare, self._all = prepare, [prepare(image) for image in images]

    def __len__(self):
        return len(self._all)

    def batch(self, numbers):
        return self._prepare.stack([self._all[number] for number in numbers])


def adapted(folder, precision="fp32", std=0.1, **settings):
    """An encoder with an adapter whose second halves are no zeros, behind which nothing else would learn."""
    encoder = DualEncoder.load(str(folder), device="cpu", precision=precision)
    attach(encoder, DistillSettings(rank=4, **settings))
    for name, parameter in parameters(encoder.model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std, generator=torch.Generator().manual_seed(len(name)))
    return encoder


def label_shop(home, clip_folder, **more):
    """120 images that a table teacher judged; `more` adds columns, each a function of colour, shape and size."""
    catalog = home / "catalog"
    catalog.mkdir()
    rows = []
    for size in range(5):
        for c, colour in enumerate(COLOURS):
            for s, shape in enumerate(SHAPES):
                name = f"{colour}_{shape}{size}.png"
                draw(colour, s, 36 + 3 * size + c, 40 + 2 * size + s).save(catalog / name)
                columns = {column: value(colour, shape, size) for column, value in more.items()}
                rows.append({"file_name": name, "title": f"{colour} {shape}", **columns})
    (catalog / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write_scores(home, [row["file_name"] for row in rows])
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone",
                    clip_folder, "--images-per-call", 4, "--budget", 800, "--pool", 24, cwd=home)  # fmt: skip
    assert done.code == 0, done.err


def facts(home):
    return json.loads((home / ".vdistill" / "student" / "student.json").read_text())


def weights(home):
    return (home / ".vdistill" / "student" / "adapter_model.safetensors").read_bytes()


def trained(home, *more, code=0):
    done = vdistill(*TRAIN, *more, cwd=home)
    assert done.code == code, done.err
    return done


def interrupt_at(monkeypatch, moment):
    """Ctrl-C at this step of the trainings that follow; at a negative one, counted from the end."""
    steps, made = 0, callbacks.Callbacks.__init__

    def watch(self, told, *others):
        def counted(now):
            nonlocal steps
            steps += 1
            if steps == moment or steps == now.steps + 1 + moment:
                raise KeyboardInterrupt
            told(now)

        made(self, counted, *others)

    monkeypatch.setattr(callbacks.Callbacks, "__init__", watch)
