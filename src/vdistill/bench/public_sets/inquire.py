"""INQUIRE-Rerank: questions of naturalists, 100 photographs each, judged by experts (arXiv 2411.02537).

Published as Parquet files `data/SPLIT-*.parquet`: a row is a query with one of its images and whether it fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vdistill.bench.public_sets.images import kept
from vdistill.bench.public_sets.parquet import IMAGES, complete, rows
from vdistill.bench.public_sets.published import About, Contents, SetFolder, from_hub
from vdistill.bench.public_sets.sample import sampled
from vdistill.errors import VdistillError

REPOSITORY = "evendrow/INQUIRE-Rerank"
_TEXTS = ("supercategory", "category", "iconic_group")
_COLUMNS = ("image", "query", "relevant", "inat24_image_id", "inat24_species_name", *_TEXTS, "license", "rights_holder")


@dataclass
class Inquire:
    """split: `test` or `validation`."""

    split: str = "test"
    about: About = field(init=False)

    def __post_init__(self) -> None:
        self.about = About(
            name="inquire-rerank" if self.split == "test" else f"inquire-rerank/{self.split}",
            title=f"INQUIRE-Rerank ({self.split})",
            licence="annotations CC BY-NC 4.0; each photograph has a licence of its own (attribution.jsonl)",
            citation="Vendrow et al., INQUIRE: A Natural World Text-to-Image Retrieval Benchmark, NeurIPS 2024, "
            "arXiv 2411.02537",
            needs=f"data/{self.split}-*.parquet",
        )

    def fetch(self, folder: SetFolder) -> None:
        """Download the files of the split, unless they are there."""
        if not complete(self._files(folder)):
            from_hub(REPOSITORY, [self.about.needs], folder, self.about)
        if not complete(found := self._files(folder)):
            what = "not all" if found else "no"
            raise VdistillError(f"{what} {self.about.needs} in {folder.source}", hint="copy the published files there")

    def load(self, folder: SetFolder, queries: int | None, say: Callable[[str], None]) -> Contents:
        """See `Loader`."""
        files = self._files(folder)
        texts = sorted({str(row["query"]) for row in rows(files, ["query"])})
        ids = {text: str(number) for number, text in enumerate(texts, start=1)}
        chosen = sampled(ids.values(), queries)
        read = _Read(folder)
        grades: dict[tuple[str, str], int] = {}
        for row in rows(files, _COLUMNS, IMAGES):
            query, name = ids[str(row["query"])], f"{int(row['inat24_image_id'])}.jpg"
            if query in chosen and read.image(name, row):
                grades[query, name] = int(row["relevant"])
        return Contents(
            [(key, text) for text, key in ids.items() if key in chosen],
            [(query, name, grade) for (query, name), grade in grades.items()],
            list(read.metadata.values()),
            list(read.attribution.values()),
            [f"left out: {len(read.broken):,} images, the first: {read.broken[0]}"] if read.broken else [],
        )

    def _files(self, folder: SetFolder) -> list[Any]:
        return sorted({*folder.source.glob(self.about.needs), *folder.source.glob(f"{self.split}-*.parquet")})


@dataclass
class _Read:
    """The images that were written, with what is known of them, and those that cannot be read."""

    folder: SetFolder
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    attribution: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def image(self, name: str, row: dict[str, Any]) -> bool:
        """Write the image of a row, if it was not written for another query. Returns whether it can be read."""
        if name in self.metadata:
            return True
        image = row["image"]
        content = image.get("bytes") if isinstance(image, dict) else image
        problem = kept(self.folder.catalog / name, content) if isinstance(content, bytes) else "no bytes"
        if problem is not None:
            self.broken.append(f"{name}: {problem}")
            return False
        texts = {key: row[key] for key in _TEXTS if row[key]}
        self.metadata[name] = {"file_name": name, "title": row["inat24_species_name"], **texts}
        self.attribution[name] = {"file_name": name, **{key: row[key] for key in ("license", "rights_holder")}}
        return True
