"""SQID: shopping queries of ESCI with graded products, and the addresses of the products' images (arXiv 2405.15190).

Two sources. ESCI (arXiv 2206.06588) gives queries, products and labels: as it was first published, in
`shopping_queries_dataset_examples.parquet` and `…_products.parquet`, or joined in `test-*.parquet`. SQID gives
`product_image_urls` (.parquet or .csv): the US products of the test split of the smaller version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from vdistill.bench.public_sets.images import fetch_images
from vdistill.bench.public_sets.parquet import complete, rows
from vdistill.bench.public_sets.published import About, Contents, SetFolder, from_hub
from vdistill.bench.public_sets.sample import sampled
from vdistill.errors import VdistillError
from vdistill.inputs.tables import read_rows

ESCI, SQID = "tasksource/esci", "crossingminds/shopping-queries-image-dataset"
# The gains of the task, 1, 0.1, 0.01 and 0, as whole numbers: nDCG is the same.
GRADES = {"E": 100, "S": 10, "C": 1, "I": 0}
_NO_IMAGE = "/digital/video/web/Default_Background_Art"  # in the address of a picture that stands for none
_EXAMPLE = ("query", "query_id", "product_id", "product_locale", "esci_label", "small_version")
_PRODUCT = {
    "product_title": "title", "product_description": "description", "product_bullet_point": "features",
    "product_brand": "brand", "product_color": "color",
}  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class Sqid:
    """See above."""

    public_only: ClassVar[bool] = True  # images from public hosts alone
    about = About(
        name="sqid",
        title="SQID with ESCI",
        licence="ESCI Apache-2.0, SQID MIT; the images belong to their sellers and are fetched from their addresses",
        citation="Al Ghossein et al., Shopping Queries Image Dataset, SIGIR eCom 2024, arXiv 2405.15190; Reddy et al., "
        "Shopping Queries Dataset: A Large-Scale ESCI Benchmark, 2022, arXiv 2206.06588",
        needs="product_image_urls.parquet, and shopping_queries_dataset_{examples,products}.parquet or test-*.parquet "
        f"of {ESCI},",
    )

    def fetch(self, folder: SetFolder) -> None:
        """Download the addresses and the labels, unless they are there."""
        if _one(folder, "product_image_urls.*") is None:
            from_hub(SQID, ["data/product_image_urls.parquet"], folder, self.about)
        if not _labelled(folder):
            from_hub(ESCI, ["data/test-*.parquet"], folder, self.about)
        if not _labelled(folder):
            what = "not all" if _joined(folder) else "no"
            raise VdistillError(f"{what} labels of ESCI in {folder.source}", hint=f"copy {self.about.needs} there")

    def load(self, folder: SetFolder, queries: int | None, say: Callable[[str], None]) -> Contents:
        """See `Loader`. An image that cannot be fetched is left out with its grades, and counted."""
        urls = _urls(folder)
        examples = [row for row in _examples(folder) if row["product_id"] in urls]
        chosen = sampled({row["query_id"] for row in examples}, queries)
        examples = [row for row in examples if row["query_id"] in chosen]
        wanted = {row["product_id"]: urls[row["product_id"]] for row in examples}
        names, failed = fetch_images(wanted, folder.catalog, say, public_only=self.public_only)
        products = _products(folder, names)
        kept = [row for row in examples if row["product_id"] in names]
        notes = [f"{len(failed):,} of {len(wanted):,} images left out, the first: {failed[0]}"] if failed else []
        return Contents(
            sorted({(row["query_id"], row["query"]) for row in kept}),
            [(row["query_id"], names[row["product_id"]], row["grade"]) for row in kept],
            [{"file_name": name, "sku": key, **products.get(key, {})} for key, name in names.items()],
            notes=notes,
        )


def _urls(folder: SetFolder) -> dict[str, str]:
    """The address of the image of each product that has one."""
    path = _one(folder, "product_image_urls.*")
    if path is None:
        raise VdistillError(f"no product_image_urls.parquet in {folder.source}", hint="copy the published files there")
    found = {}
    for line in read_rows(path, required="product_id"):
        key, url = str(line.row["product_id"]), line.row.get("image_url")
        if url and _ID.fullmatch(key) and _NO_IMAGE not in str(url):
            found[key] = str(url)
    return found


def _examples(folder: SetFolder) -> Iterator[dict[str, Any]]:
    """Queries and graded products of the US, of the test split of the smaller version."""
    path = _one(folder, "shopping_queries_dataset_examples.parquet")
    found = rows([path], [*_EXAMPLE, "split"]) if path else rows(_joined(folder), _EXAMPLE)
    for row in found:
        grade = GRADES.get(str(row["esci_label"])[:1].upper())
        if grade is None:
            raise VdistillError(f"ESCI has a label {row['esci_label']!r}", hint="known: E, S, C and I")
        if row["product_locale"] == "us" and int(row["small_version"]) == 1 and row.get("split", "test") == "test":
            yield {"query": " ".join(str(row["query"]).split()), "query_id": str(row["query_id"]),
                   "product_id": str(row["product_id"]), "grade": grade}  # fmt: skip


def _products(folder: SetFolder, wanted: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The texts of the US products with an image, by id."""
    path = _one(folder, "shopping_queries_dataset_products.parquet")
    files = [path] if path else _joined(folder)
    found = {}
    for row in rows(files, ["product_id", "product_locale", *_PRODUCT]):
        if row["product_locale"] == "us" and (key := str(row["product_id"])) in wanted:
            found[key] = {name: str(row[column]) for column, name in _PRODUCT.items() if row[column]}
    return found


def _one(folder: SetFolder, name: str) -> Path | None:
    return next(iter(_all(folder, name)), None)


def _joined(folder: SetFolder) -> list[Path]:
    return _all(folder, "test-*.parquet")


def _labelled(folder: SetFolder) -> bool:
    return _one(folder, "shopping_queries_dataset_examples.parquet") is not None or complete(_joined(folder))


def _all(folder: SetFolder, name: str) -> list[Path]:
    """The published files of this name, without what the hub's client notes beside them."""
    found = folder.source.rglob(name)
    return sorted(
        path for path in found
        if path.suffix in (".parquet", ".csv") and ".cache" not in path.relative_to(folder.source).parts
    )  # fmt: skip
