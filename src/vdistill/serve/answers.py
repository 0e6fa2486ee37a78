"""What is answered: searches, their neighbours and comparisons, as documents. All of it runs in threads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from vdistill.errors import ImageError, VdistillError
from vdistill.images import load, quiet
from vdistill.inputs.lines import well_formed
from vdistill.query.documents import hit_document, nothing_fits_well
from vdistill.query.search import Searcher
from vdistill.query.terms import Term, is_text, wanted_text
from vdistill.records import Hit
from vdistill.serve.asked import Asked, Part
from vdistill.serve.far_images import fetched
from vdistill.serve.filterable import filterable
from vdistill.serve.held import Held
from vdistill.serve.refusals import Refused, unknown, wrong
from vdistill.serve.reload import Generation, Indexes
from vdistill.serve.settings import IMAGE_PIXELS, Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers from the newest index."""

    indexes: Indexes
    settings: Settings

    def search(self, asked: Asked) -> dict[str, Any]:
        """The answer to one search."""
        given = self.images(asked)
        return self.leased(lambda found: _search(found, asked, given))

    def found(self, asked: Asked) -> tuple[dict[str, Any], list[Hit]]:
        """The answer to a search of texts, and its hits themselves."""
        return self.leased(lambda found: _found(found, asked, {}))

    def batch(self, searches: Sequence[Asked]) -> dict[str, Any]:
        """The answers to several searches of texts, each the same as it would get alone."""

        def all_of_them(found: Generation) -> dict[str, Any]:
            texts = [term.what for asked in searches for term in terms_of(found, found.named(asked.model), asked, {})]
            found.texts[found.named(searches[0].model).model].encode([well_formed(str(text)) for text in texts])
            return {"answers": [_search(found, asked, {}) for asked in searches]}

        return self.leased(all_of_them)

    def compare(self, asked: Asked) -> dict[str, Any]:
        """The student's answer beside the backbone's."""
        given = self.images(asked)

        def both(found: Generation) -> dict[str, Any]:
            for model in ("student", "backbone"):
                found.named(model)
            return {model: _search(found, asked, given, model) for model in ("student", "backbone")}

        return {"query": asked.text, **self.leased(both)}

    def similar(self, id_: str, asked: Asked) -> dict[str, Any]:
        """What looks like an item, without the item itself and other images of its product."""
        return self.leased(lambda found: _similar(found, id_, asked))

    def item(self, id_: str, model: str | None) -> dict[str, Any]:
        """An item."""
        return self.leased(lambda found: _item(found.named(model), id_))

    def some_items(self, count: int, model: str | None) -> dict[str, Any]:
        """A few items, spread over the index, of each product one."""
        return self.leased(lambda found: {"items": _some_items(found.named(model), count)})

    def filters(self, model: str | None) -> dict[str, Any]:
        """What the items can be filtered by; found once for each index."""

        def found_once(found: Generation) -> dict[str, Any]:
            searcher = found.named(model)
            if searcher.model not in found.filters:
                found.filters[searcher.model] = filterable(searcher.store.items, len(searcher))
            return found.filters[searcher.model]

        return self.leased(found_once)

    def embed(self, texts: Sequence[str], model: str | None) -> tuple[str, np.ndarray, int]:
        """The model that answers, unit vectors (n, dim), and how many tokens it has read."""

        def vectors(found: Generation) -> tuple[str, np.ndarray, int]:
            searcher = found.named(model)
            encoder, whole = found.texts[searcher.model], [well_formed(text) for text in texts]
            return searcher.model, encoder.encode(whole), sum(encoder.token_counts(whole))

        return self.leased(vectors)

    def images(self, asked: Asked) -> dict[int, bytes]:
        """The bytes of the images of a search, by the place of their part; fetched before an index is leased."""
        found: dict[int, bytes] = {}
        for place, part in enumerate(asked.parts):
            if isinstance(part.value, bytes):
                found[place] = part.value
            elif part.what == "image_url":
                if not self.settings.image_urls:
                    raise Refused(403, "image_urls_off", "this server fetches no images",
                                  "send the image itself, or start the server with --image-urls")  # fmt: skip
                found[place] = fetched(part.value)
        return found

    def leased(self, answer: Callable[[Generation], T]) -> T:
        """An answer from the newest index; from a newer one, where that took its place and the files of this one."""
        with self.indexes.lease() as found:
            try:
                return answer(found)
            except Refused:
                raise
            except VdistillError:
                if not found.retired:
                    raise
        with self.indexes.lease() as found:
            return answer(found)


def image_path(id_: str) -> str:
    """Where the image of an item is."""
    return f"/v1/images/{quote(id_, safe='/', errors='surrogatepass')}"


def _search(found: Generation, asked: Asked, images: dict[int, bytes], model: str | None = None) -> dict[str, Any]:
    return _found(found, asked, images, model)[0]


def _found(
    found: Generation, asked: Asked, images: dict[int, bytes], model: str | None = None
) -> tuple[dict[str, Any], list[Hit]]:
    searcher = found.named(model or asked.model)
    started = time.perf_counter()
    terms = terms_of(found, searcher, asked, images)
    hits = searcher.hits(searcher.vector(terms), asked.k, asked.options, wanted_text(terms), text=is_text(terms))
    took = round((time.perf_counter() - started) * 1000, 2)
    texts = [term.what for term in terms if isinstance(term.what, str)]
    truncated = bool(texts) and searcher.truncated(texts) > 0
    return {**_document(searcher, asked.text, hits, took, asked.options.min_fit), "truncated": truncated}, hits


def _similar(found: Generation, id_: str, asked: Asked) -> dict[str, Any]:
    searcher = found.named(asked.model)
    started = time.perf_counter()
    key = item_key(searcher, id_)
    vector = searcher.vectors([id_])[0]
    product = searcher.store.items.products.shown([key]).get(key)
    hits = searcher.hits(vector, asked.k + 1, asked.options)
    grouped = asked.options.per == "product" and product is not None
    others = [hit for hit in hits if hit.id != id_ and not (grouped and product and hit.product == product.name)]
    took = round((time.perf_counter() - started) * 1000, 2)
    document = {**_document(searcher, id_, others[: asked.k], took), "truncated": False}
    for rank, one in enumerate(document["results"], start=1):
        one["rank"] = rank
    return document


def _item(searcher: Searcher, id_: str) -> dict[str, Any]:
    return item_documents(searcher, [item_key(searcher, id_)])[0]


def _some_items(searcher: Searcher, count: int) -> list[dict[str, Any]]:
    items = item_documents(searcher, searcher.store.items.some_keys(4 * count).tolist())
    products: dict[str, dict[str, Any]] = {}
    for one in items:
        products.setdefault(one["product"] or f"item {one['id']}", one)
    step = max(len(products) // count, 1)
    return [*products.values()][::step][:count]


def item_documents(searcher: Searcher, keys: Sequence[int]) -> list[dict[str, Any]]:
    """The items with these keys, in their order."""
    rows = searcher.store.items.rows_of(keys)
    products = searcher.store.items.products.shown(keys)
    return [
        {
            "id": row.id, "model": searcher.model, "metadata": json.loads(row.metadata),
            "product": product.name if product else None, "images": product.images if product else 1,
            "image": image_path(row.id),
        }
        for row in (rows[key] for key in keys if key in rows)
        for product in [products.get(row.key)]
    ]  # fmt: skip


def item_key(searcher: Searcher, id_: str) -> int:
    """The key of an item. Raises Refused where there is none."""
    try:
        return int(searcher.store.items.keys_of([id_])[0])
    except (VdistillError, UnicodeError):
        raise unknown(f"there is no item {id_[:200]!r}", "take an id from the results of a search") from None


def _document(
    searcher: Searcher, asked: str, hits: Sequence[Hit], took: float, min_fit: float | None = None
) -> dict[str, Any]:
    results = [{**hit_document(hit), "image": image_path(hit.id)} for hit in hits]
    return {"query": asked, "model": searcher.model, "results": results,
            "nothing_fits_well": nothing_fits_well(hits, min_fit), "took_ms": took}  # fmt: skip


def terms_of(found: Generation, searcher: Searcher, asked: Asked, images: Mapping[int, bytes]) -> list[Term]:
    """The parts of a search as `Searcher.vector` takes them.  images: the bytes of those in it, by place."""
    return [Term(_value(found, searcher, part, images.get(n)), part.weight) for n, part in enumerate(asked.parts)]


def _value(found: Generation, searcher: Searcher, part: Part, image: bytes | None) -> str | np.ndarray:
    """A part as `Searcher.vector` takes it: images and items as their vectors."""
    if image is not None:
        return _image_vector(found, searcher, image)
    assert isinstance(part.value, str)
    if part.what == "id":
        item_key(searcher, part.value)
        return np.asarray(searcher.vectors([part.value])[0])
    return part.value


def _image_vector(found: Generation, searcher: Searcher, data: bytes) -> np.ndarray:
    encoder = found.image_encoder(searcher)
    try:
        with quiet():
            image = load(Held(data), encoder.preprocessing.target, IMAGE_PIXELS)
    except ImageError as error:
        raise wrong(f"cannot search by this image: {error.message}", "send an image file") from error
    return encoder.encode_loaded(image)
