"""Four teachers of the gift shop side by side: an audit that compares them, and a jury that they make.

    python tests/benchmarks/four_teachers.py [SHOP] [--reranker]    SHOP: the gift shop as `make demo` leaves it

Two tables are the simulated shoppers with noise of their own, one teacher reads the metadata, and one is a chat server
on loopback that has a price: it sees the images it is sent, and answers as a shopper of little noise would. With
`--reranker` there is a fifth, a server that scores each image by itself, at the same price for a token. The workspace
of the shop is not touched; answers go to a temporary one.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import made_shop
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from chat_server import ChatServer
from vdistill.cli import main as main_of_vdistill

NOISES = {"usual": 2.0, "hasty": 4.0}
PAID, SCORED = 0.5, 1.0  # the noise of the one that is paid, and of the one that scores
DELAY = 0.02  # the seconds that each takes for an answer
PRICES = "0.40,1.60"  # US dollars per million tokens
TOKENS_PER_IMAGE = 400


def print_of(image: Image.Image) -> np.ndarray:
    """What an image is known again by after it was scaled and compressed."""
    return np.asarray(image.convert("RGB").resize((12, 12), Image.Resampling.BOX), np.float32).ravel()


class Shopper:
    """Answers requests of the chat API by the scores of a table and noise that stays with query and image."""

    def __init__(self, shop: Path, scores: dict[str, dict[str, float]]) -> None:
        self.scores, catalog = scores, shop / "catalog"
        self.items = sorted(next(iter(scores.values())))
        self.prints = np.stack([print_of(Image.open(catalog / item)) for item in self.items])

    def __call__(self, body: dict) -> dict:
        parts = [part for message in body["messages"] for part in
                 ([{"type": "text", "text": message["content"]}] if isinstance(message["content"], str)
                  else message["content"])]  # fmt: skip
        text = " ".join(part["text"] for part in parts if part["type"] == "text")
        query = next(query for query in self.scores if f'"{query}"' in text)
        shown = [self._item(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
        logits = np.array([self.scores[query][item] for item in shown])
        logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        letters = [chr(ord("A") + place) for place in range(len(shown))]
        told = [{"token": letter, "logprob": float(log)} for letter, log in zip(letters, logs, strict=True)]
        best = letters[int(logits.argmax())]
        choice = {
            "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": best},
            "logprobs": {"content": [{"token": best, "logprob": float(logs.max()), "top_logprobs": told}]},
        }  # fmt: skip
        usage = {"prompt_tokens": 150 + TOKENS_PER_IMAGE * len(shown), "completion_tokens": 1}
        return {"choices": [choice], "usage": usage}

    def _item(self, uri: str) -> str:
        image = Image.open(io.BytesIO(base64.b64decode(re.sub("^data:[^,]*,", "", uri))))
        return self.items[int(((self.prints - print_of(image)) ** 2).sum(axis=1).argmin())]


class Scorer(Shopper):
    """The same at /v1/rerank."""

    def __call__(self, body: dict) -> dict:
        shown = [self._item(document["content"][0]["image_url"]["url"]) for document in body["documents"]]
        scores = [self.scores[body["query"]][item] for item in shown]
        found = [{"index": at, "relevance_score": 1 / (1 + math.exp(4 - score))} for at, score in enumerate(scores)]
        return {"results": found, "usage": {"total_tokens": (150 + TOKENS_PER_IMAGE) * len(shown)}}


def scores_of(table: pa.Table) -> dict[str, dict[str, float]]:
    """By query and item."""
    scores: dict[str, dict[str, float]] = {}
    for row in table.to_pylist():
        if row["item"]:  # else it is the score of acceptance
            scores.setdefault(row["query"], {})[row["item"]] = row["score"]
    return scores


def noisy(table: pa.Table, noise: float, seed: int) -> pa.Table:
    scores = table["score"].to_numpy() + noise * np.random.default_rng(seed).normal(size=table.num_rows)
    return table.set_column(table.schema.get_field_index("score"), "score", pa.array(scores.astype(np.float32)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", type=Path, nargs="?", default=made_shop.SHOP)
    parser.add_argument("--calls", type=int, default=200, help="of each audit")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--max-cost", type=float, default=0.5)
    parser.add_argument("--reranker", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few calls, to see that it runs")
    given = parser.parse_args()
    if given.quick:
        given.calls, given.budget = 30, 60
    shop = given.shop.resolve()
    made_shop.require(shop, "shoppers.parquet")
    table = pq.read_table(shop / "shoppers.parquet")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for seed, (name, noise) in enumerate(NOISES.items()):
            pq.write_table(noisy(table, noise, seed), home / f"{name}.parquet")
        with contextlib.ExitStack() as servers:
            server = servers.enter_context(ChatServer(Shopper(shop, scores_of(noisy(table, PAID, 9))), delay=DELAY))
            teachers = [*(f"table:{home / name}.parquet" for name in NOISES), "metadata", f"openai:paid@{server.url}"]
            if given.reranker:
                scorer = Scorer(shop, scores_of(noisy(table, SCORED, 8)))
                teachers.append(f"rerank:fine@{servers.enter_context(ChatServer(scorer, delay=DELAY)).url}")
            options = [part for name in teachers for part in ("--teacher", name)]
            options += ["--budget", str(given.budget), "--max-cost", str(given.max_cost), "-w", str(home / "judged")]
            env = os.environ | {"VDISTILL_USD_PER_MILLION": PRICES, "VDISTILL_PARAPHRASES": "0", "COLUMNS": "140"}
            for more in (["--audit", str(given.calls)], *([] if given.quick else [["--dry-run"]]), []):
                print(f"$ vdistill label … {' '.join(more)}", flush=True)
                command = ["label", *options, *more]
                if given.quick:  # in this process, which has loaded what they need
                    os.environ |= env
                    os.chdir(shop)
                    assert not main_of_vdistill(command)
                else:
                    subprocess.run([sys.executable, "-m", "vdistill", *command], cwd=shop, env=env, check=True)
        print(json.dumps({"calls to the paid teacher": server.calls, "repeated": server.repeated}))


if __name__ == "__main__":
    main()
