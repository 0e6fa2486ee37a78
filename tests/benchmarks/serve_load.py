"""How much `vdistill serve` answers: searches a second and their times, warm single searches, memory, re-indexing.

    python tests/benchmarks/serve_load.py                        a million items, 60 s of load
    python tests/benchmarks/serve_load.py --seconds 600          ten minutes, with a newer index each minute
    python tests/benchmarks/serve_load.py --folder /tmp/x        keeps the workspace there, for another run
    python tests/benchmarks/serve_load.py --quick

A text encoder of ViT-B/32 size with random weights and CLIP's tokenizer. Each query is another text of four words, so
the server's memory of texts helps little. The load comes from wrk where it is installed, else from a client in Python;
it runs on the same machine and takes its part of the cores. A re-index publishes the same vectors under new names.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from side_by_side import CONSOLE, header, spread

from vdistill.bundle import manifest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

KINDS = ["red", "blue", "green", "white", "old", "new", "warm", "cosy", "small", "large", "round", "soft", "bright"]
THINGS = ["gift", "lamp", "mug", "chair", "plant", "garden", "kitchen", "winter", "summer", "mother", "father", "child"]
WORDS = [*KINDS, *THINGS, "birthday", "wedding", "wooden", "glass", "metal", "paper", "dark", "simple", "funny", "rare"]
LUA = """
local words = {%s}
math.randomseed(os.time())
request = function()
  local text = {}
  for n = 1, 4 do text[n] = words[math.random(#words)] end
  return wrk.format("GET", "/v1/search?k=10&query=" .. table.concat(text, "+"))
end
done = function(summary, latency)
  io.write(string.format('{"requests": %%d, "seconds": %%f, "median": %%f, "p99": %%f, "errors": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout))
end
"""


def texts(seed: int):
    """Queries without an end."""
    import random

    rng = random.Random(seed)
    while True:
        yield " ".join(rng.choices(WORDS, k=4))


def load(port: int, seconds: float, connections: int, folder: Path) -> dict[str, float]:
    """Searches over so many connections, each with the next one as soon as it has its answer."""
    wrk = shutil.which("wrk")
    if wrk is None:
        command = [sys.executable, __file__, "--client", f"{port},{seconds},{connections}"]
    else:
        script = folder / "load.lua"
        script.write_text(LUA % ", ".join(f'"{word}"' for word in WORDS), encoding="utf-8")
        command = [wrk, "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(script),
                   f"http://127.0.0.1:{port}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def client(port: int, seconds: float, connections: int) -> None:
    """The load from Python; prints what `load` returns."""
    taken: list[float] = []
    errors: list[str] = []
    ends = time.monotonic() + seconds
    threads = [threading.Thread(target=_ask, args=(port, n, ends, taken, errors)) for n in range(connections)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - started
    taken.sort()
    print(json.dumps({"requests": len(taken), "seconds": elapsed, "median": statistics.median(taken),
                      "p99": taken[int(len(taken) * 0.99)], "errors": len(errors)}))  # fmt: skip


def _ask(port: int, seed: int, ends: float, taken: list[float], errors: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for text in texts(seed):
        started = time.monotonic()
        if started > ends:
            break
        connection.request("GET", f"/v1/search?k=10&query={quote(text)}")
        answer = connection.getresponse()
        answer.read()
        taken.append(time.monotonic() - started)
        if answer.status != 200:
            errors.append(str(answer.status))
    connection.close()


def single(port: int, count: int) -> list[float]:
    """Milliseconds of warm searches, one after the other on one connection."""
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _, text in zip(range(count), texts(1000), strict=False):
        started = time.perf_counter()
        connection.request("GET", f"/v1/search?k=10&query={quote(text)}")
        connection.getresponse().read()
        found.append((time.perf_counter() - started) * 1000)
    connection.close()
    return found


def memory(process: int) -> dict[str, float]:
    """Resident MiB: all, and that which is not pages of files (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return {name: int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")}


def publish(home: Path, number: int) -> None:
    """A newer index: the same vectors and items under other names; the old names go."""
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    model = next(iter(entries))
    old = entries[model]

    def again(file: manifest.FileFacts) -> manifest.FileFacts:
        name = f"load-{number}-{file.name.rpartition('load-')[2].partition('-')[2] or file.name}"
        os.link(index / file.name, index / name)
        return replace(file, name=name)

    shards = tuple(
        replace(one, vectors=again(one.vectors), precise=one.precise and again(one.precise),
                lists=one.lists and again(one.lists))
        for one in old.shards
    )  # fmt: skip
    entries[model] = replace(old, shards=shards, items=again(old.items), created=time.time(), generation=number + 1000)
    manifest.write(index, entries)
    manifest.sweep(index, entries.values())


def start(home: Path) -> tuple[subprocess.Popen[str], int]:
    """A server of the workspace, and its port."""
    process = subprocess.Popen([sys.executable, "-m", "vdistill", "serve", "--port", "0"], cwd=home, text=True,
                               stderr=subprocess.PIPE, env={**os.environ, "HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"serving http://127.0.0.1:(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, int(found[1])
    raise SystemExit("the server did not start")


def measure(home: Path, options: argparse.Namespace) -> None:
    """Single searches, then load in parts, with a newer index in each but the first."""
    process, port = start(home)
    try:
        single(port, 20)
        CONSOLE.print(f"warm single search: {spread(single(port, options.singles), '.1f')} ms; "
                      f"RSS {_shown(memory(process.pid))}")  # fmt: skip
        parts = max(1, round(options.seconds / options.part))
        for part in range(parts):
            newer = threading.Timer(options.part / 2, publish, (home, part))
            if part or parts == 1:
                newer.start()
            found = load(port, options.part, options.connections, home)
            newer.cancel()
            _print(part, found, memory(process.pid))
    finally:
        process.terminate()
        CONSOLE.print(f"exit code {process.wait(60)}")


def _print(part: int, found: dict[str, float], resident: dict[str, float]) -> None:
    rate, median, p99 = found["requests"] / found["seconds"], found["median"] * 1000, found["p99"] * 1000
    CONSOLE.print(f"{part + 1}: {rate:.0f} searches/s, median {median:.0f} ms, p99 {p99:.0f} ms, "
                  f"{found['errors']:.0f} errors; RSS {_shown(resident)}", soft_wrap=True)  # fmt: skip


def _shown(found: dict[str, float]) -> str:
    return f"{found['VmRSS']:,.0f} MiB, {found['RssAnon']:,.0f} of them not files"


def made(home: Path, options: argparse.Namespace) -> None:
    """The workspace, where it is not there yet."""
    if (home / ".vdistill").is_dir():
        return
    if options.quick:
        from served import unpack_large_shop

        unpack_large_shop(home)
        return
    from query_speed import workspace
    from search_scale import data
    from speed_model import backbone

    from vdistill.encoders.dual_encoder import DualEncoder

    encoder = DualEncoder.load(str(backbone(options.model)), device="cpu", precision="fp32")
    workspace(home, encoder, data(options.count)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--part", type=float, default=60, help="seconds between two reports, and between two indexes")
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, seconds, connections = options.client.split(",")
        client(int(port), float(seconds), int(connections))
        return
    if options.quick:
        options.seconds, options.part, options.connections, options.singles = 2, 1, 4, 10
    header("uvicorn", "starlette")
    CONSOLE.print(f"{options.connections} connections, load by {'wrk' if shutil.which('wrk') else 'Python'}")
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.mkdir(parents=True, exist_ok=True)
        made(home, options)
        measure(home, options)


if __name__ == "__main__":
    main()
