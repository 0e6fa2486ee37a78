"""How fast images come from a web server within what is polite.

    python tests/benchmarks/feed_speed.py [--quick]

The server runs in a process of its own and delays each answer by 50 ms. Its pace is limited as any host's is; with
several hosts (names that a proxy resolves) the paces add up. What a feed of a million products takes to be listed
is measured by `catalog_size.py`.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support")]

DELAY = 0.05  # s


def serve(folder: Path) -> None:
    from shop_server import ShopServer

    with ShopServer(folder) as shop:
        shop.delay = DELAY
        print(shop.url, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def server(folder: Path):
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait()


def images_a_second(urls: list[str], cache: Path) -> float:
    from vdistill.sources import source_at
    from vdistill.sources.cache import use_cache
    from vdistill.sources.read_ahead import read_ahead

    use_cache(cache, 1)
    began = time.monotonic()
    for _, source in read_ahead(urls, lambda url: (url, source_at(url))):
        source.open().close()
    return len(urls) / (time.monotonic() - began)


def downloads(count: int, rounds: int, folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(count):
        (folder / "images" / f"{number}.jpg").write_bytes(os.urandom(100_000))
    with server(folder / "images") as url:
        for hosts in (1, 4):
            if hosts > 1:
                os.environ["http_proxy"] = url
            names = [url] if hosts == 1 else [f"http://shop{host}.example" for host in range(hosts)]
            urls = [f"{names[number % hosts]}/images/{number}.jpg" for number in range(count)]
            rates = [images_a_second(urls, folder / f"cache {hosts} {turn}") for turn in range(rounds)]
            again = [images_a_second(urls, folder / f"cache {hosts} {turn}") for turn in range(rounds)]
            print(f"{hosts} host(s), {count} images of 100 kB, answers delayed by {DELAY * 1000:.0f} ms: "
                  f"{spread(rates)} images/s; from the cache {spread(again)}")  # fmt: skip


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} [{min(values):,.0f}, {max(values):,.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", type=Path)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
    else:
        with tempfile.TemporaryDirectory() as folder:
            downloads(40 if arguments.quick else 400, 1 if arguments.quick else 3, Path(folder))


if __name__ == "__main__":
    main()
