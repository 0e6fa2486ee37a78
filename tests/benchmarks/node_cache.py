"""Two nodes with folders of their own fill their caches of frozen layers: each all of it, or shares that are exchanged.

    python tests/benchmarks/node_cache.py [--images 256] [--quick]

A tower of ViT-B/32 size, cut below its last two blocks, in float32 (154 kB an image), on noise in memory; two processes
with one thread each on loopback. Also told is what the exchange alone takes, and so what it would take over a network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import header, spread
from speed_model import backbone, tiny


def child(folder: Path, images: int, rounds: int) -> None:
    """One of the two processes."""
    import torch

    from vdistill.distill.distributed import ALONE, join, leave
    from vdistill.distill.shared_cache import fill
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.encoders.feature_cache import FeatureCache
    from vdistill.encoders.frozen_layers import FrozenLayers

    torch.set_num_threads(1)
    processes, _ = join("cpu")
    encoder = DualEncoder.load(str(folder / "model"), device="cpu", precision="fp32")
    frozen = FrozenLayers(encoder, min(2, len(encoder.vision_blocks()) - 1))
    names = [f"{number:064}" for number in range(images)]
    pixels = torch.randn(images, *encoder.blank()["pixel_values"].shape[1:])

    def compute(places: list[int]) -> torch.Tensor:
        return torch.cat([frozen.states({"pixel_values": part}) for part in pixels[places].split(64)])

    own = folder / f"node{processes.rank}"
    found: dict[str, list[float]] = {"each all": [], "shares": [], "the exchange alone": []}
    for _ in range(rounds):
        for arm, together in (("each all", ALONE), ("shares", processes)):
            shutil.rmtree(own, ignore_errors=True)
            cache = FeatureCache(own, frozen)
            processes.wait()
            started = time.perf_counter()
            fill(cache, compute, names, 1e12, together)
            processes.wait()
            found[arm].append(time.perf_counter() - started)
        states = cache.read(names)[processes.share(images)]
        processes.wait()
        started = time.perf_counter()
        processes.exchanged(states, images)
        found["the exchange alone"].append(time.perf_counter() - started)
    if processes.leads:
        size = images * frozen.bytes_per_image / 2**20
        for arm, seconds in found.items():
            rates = spread([a / b for a, b in zip(found["each all"], seconds, strict=True)])
            print(f"{arm}: {spread(seconds)} s, {rates} × as fast as each all")
        exchange = min(found["the exchange alone"])
        print(f"{images:,} images, {size:.1f} MiB of states, {size / 2 / exchange:.0f} MiB/s each way")
    leave(processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    images, rounds = (16, 1) if given.quick else (given.images, 3)
    if given.folder is not None:
        child(given.folder, images, rounds)
        return
    header()
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        (folder / "model").mkdir()
        (tiny if given.quick else backbone)(folder / "model")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, __file__, "--folder", name, "--images", str(given.images)]
        where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"} for rank in range(2)]
        started = [
            subprocess.Popen([*command, *(["--quick"] if given.quick else [])], env={**os.environ, **where, **rank})
            for rank in ranks
        ]
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit(f"the processes ended with {codes}")


if __name__ == "__main__":
    main()
