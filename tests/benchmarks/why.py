"""Are the judgments that `query --why` names about the hit? `python tests/benchmarks/why.py [--shop DIR]`.

In the gift shop each training query stands for one interest, and each kind of product serves one or two; both are
hidden from the teacher's words, the student and `--why`. For each of the first ten hits of a search, the first judgment
that is named counts as right where its training query's interest is one that the hit serves. Beside it what a training
query taken at random would score, and the one nearest to the search whatever the hit is.

The searches are the first 20 held-out queries by the SHA-256 of their texts. The other 50 (`--development`) are those
that `--why` was made on; `--widths` shows on them how well the sum of all judgments' influences follows what the
student learned, by the widths of the two kernels. Spread: 95 % of 10,000 bootstrap samples of the queries.
"""

import argparse
import json
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import made_shop
import numpy as np
from commands import EXAMPLE, vdistill
from side_by_side import bootstrap

sys.path.insert(0, str(EXAMPLE))
SEED, REPORTED = 7, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", type=Path, default=made_shop.SHOP, help="where the demo was run")
    parser.add_argument("--development", action="store_true", help="the queries that are not reported")
    parser.add_argument(
        "--hits", type=int, default=10, help="with 100, most hits serve other interests than the search"
    )
    parser.add_argument("--widths", action="store_true", help="the kernels' widths, on the development queries")
    parser.add_argument("--quick", action="store_true", help="three development queries, to see that it runs")
    options = parser.parse_args()
    made_shop.require(options.shop, ".vdistill/student", ".vdistill/index/manifest.json")
    held_out, interest_of = queries(options.shop)
    development = held_out[REPORTED:]
    if options.widths:
        widths(options.shop, development)
        return
    searches = development[:3] if options.quick else development if options.development else held_out[:REPORTED]
    which = "the first" if searches == held_out[:REPORTED] else "development:"
    print(f"{which} {len(searches)} held-out queries, {options.hits} hits each", file=sys.stderr)
    report(options.shop, searches, interest_of, options.hits)


def queries(shop: Path) -> tuple[list[str], dict[str, str]]:
    """The held-out queries by their hash, and the interest behind every query, which the shop does not write down."""
    from shop.personas import persona_queries
    from shop.stocks.gifts import GIFTS

    made = persona_queries(GIFTS, SEED)
    known = map(json.loads, (shop / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    texts = {one["query"] for one in known if one.get("answered", True)}
    assert texts <= {one.text for one in made}, "another shop"
    made = [one for one in made if one.text in texts]
    held_out = sorted(
        (one.text for one in made if one.split == "heldout"), key=lambda text: sha256(text.encode()).digest()
    )
    return held_out, {one.text: next(iter(one.wish.interests)) for one in made}


def report(shop: Path, searches: list[str], interest_of: dict[str, str], count: int) -> None:
    """Print the shares of right judgments."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(searches) + "\n")
        file.flush()
        lines = vdistill(shop, "query", "--batch", file.name, "--why", "-k", count).splitlines()
    found = [json.loads(line)["results"] for line in lines]
    training, nearest = nearest_queries(shop, searches)
    among = [interest_of[text] for text in training]
    shares: dict[str, list[float]] = {}
    for search, hits in zip(searches, found, strict=True):
        served = [interests(hit["metadata"]["title"]) for hit in hits]
        right = [
            [interest_of[one["query"]] in own for one in hit["why"]] for hit, own in zip(hits, served, strict=True)
        ]
        scores = {
            "first judgment named": [named[:1] == [True] for named in right],
            "all judgments named": [one for named in right for one in named or [False]],
            "its teacher chose or liked the like of the hit": [
                hit["why"][:1] != [] and hit["why"][0]["verdict"] == "for" for hit in hits
            ],
            "the hit serves the search's interest": [interest_of[search] in own for own in served],
            "nearest training query alone": [interest_of[nearest[search]] in own for own in served],
            "random training query": [np.mean([one in own for one in among]) for own in served],
        }
        for name, values in scores.items():
            shares.setdefault(name, []).append(float(np.mean(values)))
    for name, per_query in shares.items():
        low, high = bootstrap(per_query)
        print(f"{name:48} {np.mean(per_query):6.1%}  ({low:.1%} to {high:.1%})")


def interests(title: str) -> set[str]:
    """The interests that a product serves, by the kind that ends its title."""
    from shop.stocks.gifts import GIFTS

    kinds = [kind for kind in GIFTS.interests_of if title.endswith(kind)]
    return set(GIFTS.interests_of[max(kinds, key=len)])


def nearest_queries(shop: Path, searches: list[str]) -> tuple[list[str], dict[str, str]]:
    """The training queries, and the one nearest to each search."""
    from vdistill import Searcher
    from vdistill.database import Database

    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        training = [*database.lessons.counts()]
    with Searcher.open(shop) as searcher:
        near = searcher.encode(searches) @ searcher.encode(training).T
    return training, {search: training[place] for search, place in zip(searches, near.argmax(axis=1), strict=True)}


def widths(shop: Path, searches: list[str]) -> None:
    """For widths of both kernels: the correlation over the items of all influences and of what the student learned.

    What it learned: by how much an item's score for the search rose from backbone to student, less its mean rise.
    """
    from vdistill import Searcher
    from vdistill.database import Database
    from vdistill.query.why.explain import HEAD
    from vdistill.query.why.influence import kernel, rows_of

    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        judgments = database.judgments("train")
    training = list(dict.fromkeys(one.query for one in judgments))
    with Searcher.open(shop) as student, Searcher.open(shop, "backbone") as backbone:
        places = {item: number for number, item in enumerate(student.ids)}
        items, asked = student.vectors(student.ids), student.encode(searches)
        learned = asked @ items.T - asked @ backbone.vectors(student.ids).T
        near = asked @ student.encode(training).T
    learned -= learned.mean(axis=0)
    rows = rows_of(judgments, places, HEAD)
    number = {text: place for place, text in enumerate(training)}
    of_row = np.repeat([number[one.query] for one in judgments], [len(one.items) for one in judgments])
    said = np.zeros((len(training), len(places)))
    np.add.at(said, (of_row, rows.item), rows.advantage)
    alike = items @ items.T
    print("width of items, of queries: correlation")
    for item_width in (0.25, 0.5, 1.0, 2.0):
        pulls = said @ kernel(alike, 1.0, alike.std(axis=0), item_width)
        for query_width in (0.25, 0.5, 1.0, 2.0):
            best, deviation = near.max(axis=1, keepdims=True), near.std(axis=1, keepdims=True)
            influence = kernel(near, best, deviation, query_width) @ pulls
            found = [np.corrcoef(*pair)[0, 1] for pair in zip(influence, learned, strict=True)]
            print(f"  {item_width:5} {query_width:5}  {np.mean(found):.3f} ± {np.std(found) / len(found) ** 0.5:.3f}")


if __name__ == "__main__":
    main()
