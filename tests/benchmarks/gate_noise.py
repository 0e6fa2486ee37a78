"""Does `--no-worse-than` find a student that was made worse, and let the same one pass?

    python tests/benchmarks/gate_noise.py WORKSPACE QRELS     a workspace with a student, e.g. that of the gift shop

Twenty times noise is added to the adapter (normal, a share of each tensor's own root mean square), and the student is
held against the one without; twenty times the same student is, with other seeds of the bootstrap.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import made_shop
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vdistill.arrays import Floats
from vdistill.bench import runs
from vdistill.bench.evaluate import summarise
from vdistill.bench.gates import no_worse
from vdistill.database import Database
from vdistill.distill.towers import TrainingImages, WholeTower, embed
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.student import adapter_file, read_info
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.inputs import catalog
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides
from vdistill.workspace import Workspace, at


def graded(workspace: Workspace, held_out: HeldOutSet, root: Path, share: float, seed: int) -> dict[str, Floats]:
    """The student's values with so much noise on its adapter."""
    info = read_info(workspace)
    assert info is not None
    path = adapter_file(workspace.student)
    exact = load_file(path)
    rng = torch.Generator().manual_seed(seed)
    noisy = {
        name: tensor + share * tensor.square().mean().sqrt() * torch.randn(tensor.shape, generator=rng)
        for name, tensor in exact.items()
    }
    save_file(noisy, path)
    try:
        encoder = DualEncoder.load(info.backbone, adapter=workspace.student)
    finally:
        save_file(exact, path)
    images = embed(WholeTower(encoder, TrainingImages([root / key for key in held_out.items], encoder.preprocessing)))
    texts, titles = encoder.encode_texts(held_out.queries), encoder.encode_texts(held_out.titles)
    return evaluate(held_out, images.cpu().numpy(), texts, titles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?", default=made_shop.SHOP / ".vdistill")
    parser.add_argument("qrels", type=Path, nargs="?", default=made_shop.SHOP / "qrels.txt")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.25, 0.5, 1.0])
    parser.add_argument("--quick", action="store_true", help="a few calls, to see that it runs")
    options = parser.parse_args()
    trials = 20
    if options.quick:
        made_shop.require(made_shop.SHOP, "qrels.txt", ".vdistill/student")
        options.shares, trials = [1.0], 1
    if at(options.workspace) is None:
        raise SystemExit(f"no workspace {options.workspace}")
    with tempfile.TemporaryDirectory() as folder:  # noise is added to a copy
        copy = Path(folder) / ".vdistill"
        shutil.copytree(options.workspace, copy, ignore=shutil.ignore_patterns("index", "against"))
        workspace = at(copy)
        assert workspace is not None
        measure(workspace, options.qrels, options.shares, trials)


def measure(workspace: Workspace, qrels: Path, shares: list[float], trials: int) -> None:
    """Print how often a student passes that is the same, and one with noise."""
    with Database.open(workspace.database, write=False) as database:
        root = Path(database.setting("catalog") or "")
        queries, sides = database.queries(), Sides.read(database)
    items = catalog.scan(root).items
    with Hashes.open(workspace.cache) as hashes:
        split = sides.of_items(items, hashes.of(items)).split
    held_out = from_qrels(read_qrels(qrels), qrels.name, queries, Candidates(items, split))
    plain = graded(workspace, held_out, root, 0.0, 0)
    report = summarise(held_out, {"backbone": plain, "student": plain})
    kept = runs.keep(workspace, report, "", 0, passed=True)
    same = sum(
        all(one.passed for one in no_worse(summarise(held_out, {"backbone": plain, "student": plain}, seed=seed), kept))
        for seed in range(trials)
    )
    print(f"the same student: passes {same} of {trials}")
    for share in shares:
        failed, lost = 0, []
        for seed in range(trials):
            values = graded(workspace, held_out, root, share, seed)
            lost.append(float(np.nanmean(values["ndcg@10"] - plain["ndcg@10"])))
            worse = summarise(held_out, {"backbone": plain, "student": values})
            failed += not all(one.passed for one in no_worse(worse, kept))
        print(
            f"noise of {share:g}: nDCG@10 {np.mean(lost):+.3f} ± {np.std(lost):.3f}, fails {failed} of {trials}",
            flush=True,
        )


if __name__ == "__main__":
    main()
