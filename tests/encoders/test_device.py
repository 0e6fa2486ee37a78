"""A machine without instructions for bf16 runs every command in float32, and says so where bf16 was asked for."""

import os
import subprocess
import sys

import pytest
import torch

from command_line import vdistill, write_scores
from vdistill.encoders.device import pick_device, pick_precision
from vdistill.encoders.dual_encoder import DualEncoder

# oneDNN and torch are told to pass for a processor that has AVX2 and nothing more.
AVX2_ALONE = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

# Runs commands on a backbone (its first argument) where every product of bf16 numbers raises, on any thread.
WITHOUT_BF16 = """
import sys, threading, torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = ("mm", "bmm", "linear", "conv", "attention", "matmul", "baddbmm")

class Refuse(TorchDispatchMode):
    seen = 0
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(word in str(function) for word in PRODUCTS):
            Refuse.seen += 1
            numbers = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, torch.Tensor)]
            assert not any(one.dtype is torch.bfloat16 for one in numbers), f"{function} in bf16"
        return function(*args, **(kwargs or {}))

run_thread = threading.Thread.run
def run(self):
    with Refuse():
        run_thread(self)
threading.Thread.run = run

from vdistill.cli import main as vdistill
for line in sys.argv[2:]:
    with Refuse():
        code = vdistill(line.split(" "))
    assert code == 0, f"{line}: exit code {code}"
assert Refuse.seen, "no product was seen at all"

# What `index` embeds with; the command itself exports too, which torch does not do under a dispatch mode.
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
encoder = DualEncoder.load(sys.argv[1], precision="bf16")
with Refuse():
    replicas(encoder)[0].image_features(**encoder.blank(4))
"""


@pytest.fixture
def shop(catalog, tmp_path, clip_folder):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    (tmp_path / "vdistill.toml").write_text(f'backbone = "{clip_folder}"\n[distill]\nepochs = 1\nrank = 2\n')
    return tmp_path


COMMANDS = (
    "label catalog --teacher table:scores.csv --queries queries.txt --holdout 0.3 --quiet",
    "distill --precision bf16 --device cpu",
    "distill --train-layers 1 --fresh --quiet",
)


@pytest.mark.slow
def test_nothing_multiplies_bf16_where_the_processor_cannot(shop, clip_folder):
    program = [sys.executable, "-c", WITHOUT_BF16, str(clip_folder), *COMMANDS]
    env = {**os.environ, **AVX2_ALONE, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(program, cwd=shop, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no instructions for bf16: training in float32") == 1


@pytest.fixture
def old_processor(monkeypatch):
    some = {"avx2": True, "fma3": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: some, raising=False)  # old versions of torch have none


def test_what_was_asked_for_is_float32_without_bf16(old_processor, clip_folder):
    assert pick_precision("bf16", torch.device("cpu")) == pick_precision("auto", torch.device("cpu")) == "fp32"
    assert DualEncoder.load(str(clip_folder), device="cpu", precision="bf16").precision == "fp32"


def test_bf16_asked_for_in_vain_is_said_once(old_processor, shop):
    for line in COMMANDS[:2]:
        done = vdistill(*line.split(" "), cwd=shop)
        assert done.code == 0, done.err
    assert done.err.count("this cpu has no instructions for bf16: training in float32") == 1


def test_a_build_for_cuda_on_a_machine_without_takes_the_processor(monkeypatch):
    def answer(check_available=False):
        return None if check_available else torch.device("cuda")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", answer)
    assert pick_device("auto") == torch.device("cpu")
