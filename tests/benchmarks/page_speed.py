"""How soon the search page shows something: in a cold browser, while one types; and what finding its filters costs.

    python tests/benchmarks/page_speed.py                    a million items for the filters
    python tests/benchmarks/page_speed.py --workspace DIR    the page of that workspace, not of the tests' small shop
    python tests/benchmarks/page_speed.py --quick

The browser is Chromium without a window and with a new profile each time, on the machine of the server. "Shown" is the
moment at which the first result is on the page; its image is waited for apart.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import CONSOLE, header, lacks, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import BROWSER, browser
from indexes import row, write_items
from vdistill.bundle.items import Items

SHOWN = "document.querySelector('#results .rank')"
IMAGE = "document.querySelector('#results .plate.here')"
TYPE = """(async () => {
  const shown = new Promise((resolve) => new MutationObserver((_, observer) => {
    observer.disconnect();
    resolve(performance.now());
  }).observe(document.getElementById("results"), {childList: true, subtree: true}));
  performance.clearResourceTimings();
  const words = document.getElementById("words");
  words.value = %r;
  const started = performance.now();
  words.dispatchEvent(new Event("input"));
  const end = await shown;
  await new Promise((resolve) => setTimeout(resolve, 50));
  const answer = performance.getEntriesByType("resource").filter((one) => one.name.includes("/v1/search")).at(-1);
  return [end - started, end - answer.responseEnd];
})()"""


def cold(address: str, folder: Path) -> tuple[float, float, float]:
    """Seconds of a new browser from its start to the first result; from the address to it, and to its image."""
    started = time.perf_counter()
    with browser(folder / "profile") as found:
        page = found.page()
        asked = time.perf_counter()
        page.call("Page.navigate", url=address)
        page.wait(SHOWN)
        shown = time.perf_counter()
        page.wait(IMAGE)
        pictured = time.perf_counter()
    shutil.rmtree(folder / "profile")
    return shown - started, shown - asked, pictured - asked


def typed(address: str, folder: Path, words: list[str]) -> list[tuple[float, float]]:
    """Milliseconds from the last letter to its results, and from the answer to them, for each of the texts."""
    with browser(folder / "profile") as found:
        page = found.page()
        page.go(address)
        page.wait(SHOWN)
        times = []
        for text in words:
            times.append(tuple(page.do(TYPE % text)))
            time.sleep(0.2)
        return times


def filters(path: Path, items: int) -> tuple[float, int]:
    """Seconds until the filters of so many items are found, and how many items were read."""
    from vdistill.serve.filterable import filterable

    rng = random.Random(0)

    def metadata(n: int) -> dict[str, object]:
        return {
            "title": f"item {n}", "description": "a text of some length that stands in for a real one " * 4,
            "price": round(rng.uniform(1, 500), 2), "brand": f"brand {rng.randrange(30)}", "in_stock": n % 7 > 0,
            "colour": rng.choice(["red", "green", "blue", "white", "black"]), "made": f"2024-0{1 + n % 9}-11",
            "tags": rng.sample(["new", "sale", "gift", "kitchen", "garden", "winter", "summer"], 3),
        }  # fmt: skip

    write_items(path, (row(n + 1, f"{n:07}", metadata(n)) for n in range(items)))
    opened = Items(path)
    started = time.perf_counter()
    found = filterable(opened, items)
    seconds = time.perf_counter() - started
    opened.close()
    return seconds, found["read"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rounds, items = (1, 2000) if args.quick else (args.rounds, args.items)
    if lacks("starlette", "serve"):
        return
    if BROWSER is None:
        print("not run: it needs Chromium")
        return
    from served import served, unpack_shop

    header("starlette", "uvicorn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(args.workspace or unpack_shop(folder)) as site:
            address = f"http://127.0.0.1:{site.port}/?q=red+mug"
            times = [cold(address, folder) for _ in range(rounds)]
            for what, seconds in zip(
                ("browser's start to result", "address to result", "address to its image"), zip(*times, strict=True),
                strict=True,
            ):  # fmt: skip
                CONSOLE.print(f"cold, {what}: {spread(list(seconds), '.2f')} s")
            words = [f"{kind} {thing}" for kind in ("red", "blue", "green") for thing in ("lamp", "pot", "chair")]
            milliseconds = typed(address, folder, words[: 2 if args.quick else None])
            for what, found in zip(
                ("letter to results", "answer to results"), zip(*milliseconds, strict=True), strict=True
            ):
                CONSOLE.print(f"warm, {what}: {spread(list(found), '.0f')} ms")
        seconds, read = filters(folder / "items.db", items)
        CONSOLE.print(f"filters of {items:,} items, of which {read:,} are read: {seconds * 1000:.0f} ms, once an index")


if __name__ == "__main__":
    main()
