"""What is known of a public set before it is fetched, and the folder that it becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from vdistill.errors import VdistillError, first_line
from vdistill.workspace import read_json, write_file

VERSION = 1  # of what a folder holds
DONE, BEGUN, SOURCE = "set.json", "set.begun", "source"


@dataclass(frozen=True, slots=True)
class About:
    """name: what `--set` takes.  licence: in words.  citation: in one line.  needs: the files that it is made from."""

    name: str
    title: str
    licence: str
    citation: str
    needs: str


@dataclass(frozen=True, slots=True)
class SetFolder:
    """A public set on disk.

    catalog: images with their metadata.  source: the published files.  queries: `id` and `query`, all held out.
    qrels: grades; 0 for what was judged and does not fit.
    """

    root: Path

    @property
    def catalog(self) -> Path:
        """The images, and metadata.jsonl."""
        return self.root / "catalog"

    @property
    def source(self) -> Path:
        """Where the published files are, or are fetched to."""
        return self.root / SOURCE

    @property
    def queries(self) -> Path:
        """The queries, as `--queries` takes them."""
        return self.root / "queries.jsonl"

    @property
    def qrels(self) -> Path:
        """The grades, as `--qrels` takes them."""
        return self.root / "qrels.txt"

    def made_as(self) -> dict[str, Any] | None:
        """What the finished folder says of itself; None for one that is not finished."""
        path = self.root / DONE
        return (
            read_json(path, "the public set", "remove it, and run the same command again") if path.is_file() else None
        )

    def begin(self) -> None:
        """Mark the folder as one of ours. Raises VdistillError where it holds files that would be overwritten."""
        marker, ours = self.root / BEGUN, (self.queries, self.qrels, self.catalog / "metadata.jsonl")
        if not marker.is_file() and any(path.exists() for path in ours):
            raise VdistillError(
                f"{self.root} holds other files",
                hint=f"give an empty folder, or one with nothing but the published files in {SOURCE}/",
            )
        write_file(marker, "")

    def write(self, contents: Contents, about: About, asked: dict[str, Any], say: Callable[[str], None]) -> None:
        """Write everything but the images; what makes the folder a finished one comes last."""
        write_file(self.catalog / "metadata.jsonl", _lines(contents.metadata))
        write_file(
            self.queries, _lines([{"id": key, "query": text, "split": "test"} for key, text in contents.queries])
        )
        write_file(self.qrels, "".join(f"{query} 0 {item} {grade}\n" for query, item, grade in contents.grades))
        if contents.attribution:
            write_file(self.root / "attribution.jsonl", _lines(contents.attribution))
        for note in contents.notes:
            say(note)
        counts = {"queries": len(contents.queries), "images": len(contents.metadata), "grades": len(contents.grades)}
        document = {"version": VERSION, **asked, **counts, **asdict(about), "notes": list(contents.notes)}
        write_file(self.root / DONE, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        (self.root / BEGUN).unlink(missing_ok=True)


@dataclass(frozen=True)
class Contents:
    """queries: id and text.  grades: query id, file name, grade.  metadata: rows with `file_name`.

    attribution: who made an image, and its licence, where that differs by image.  notes: what was left out.
    """

    queries: Sequence[tuple[str, str]]
    grades: Sequence[tuple[str, str, int]]
    metadata: Sequence[dict[str, Any]]
    attribution: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()


class Loader(Protocol):
    """How one public set is read."""

    about: About

    def fetch(self, folder: SetFolder) -> None:
        """Bring the published files into `folder.source`, where they are not there. Raises VdistillError."""

    def load(self, folder: SetFolder, queries: int | None, say: Callable[[str], None]) -> Contents:
        """Write the images into `folder.catalog`, and give the rest.

        queries: how many to take, by the hash of their ids; None for all. Raises VdistillError for files in another
        layout.
        """


def from_hub(repository: str, patterns: Sequence[str], folder: SetFolder, about: About) -> None:
    """Download the files of a dataset repository. Raises VdistillError, saying how to get them elsewhere."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(repository, repo_type="dataset", allow_patterns=list(patterns), local_dir=folder.source)
    except Exception as error:  # the hub's client and its transport each raise their own kinds
        raise VdistillError(
            f"cannot fetch {about.title}: {first_line(error)}",
            hint=f"on a machine with network: hf download {repository} --repo-type dataset --local-dir DIR, and copy "
            f"{about.needs} to {folder.source}",
        ) from error


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
