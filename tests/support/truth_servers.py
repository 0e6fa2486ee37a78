"""Simulated teachers at servers of their own, who see one truth through noise: a reranker, and one who compares."""

import math
from collections import Counter

import numpy as np

from chat_server import ChatServer, completion, refusal
from command_line import QUERIES
from vdistill.label.teachers.model_images import ImageCache
from vdistill.records import ShownImage


class Truth:
    """What the images are worth for a query, and servers that see it through noise.

    That of scores stays with an image, that of choices is drawn for each question.
    """

    def __init__(self, catalog):
        cache = ImageCache(768, None)
        self.names = sorted(path.name for path in catalog.glob("*.png"))
        uris = [cache.data_uri(ShownImage(name, str(catalog / name), name)) for name in self.names]
        self.place = {uri.partition(",")[2]: number for number, uri in enumerate(uris)}
        self.shown = Counter()  # (query, image), by the reranker
        rng = np.random.default_rng(0)
        self.worth = {query: 1.5 * rng.normal(size=len(self.names)) for query in QUERIES}

    def logits(self, query, uris, noise, *, alone):
        """(images,) of a query, and the places of these images. alone: whether each has its error by itself."""
        places = [self.place[uri.partition(",")[2]] for uri in uris]
        seed = [QUERIES.index(query), round(10 * noise), *([] if alone else places)]
        errors = np.random.default_rng(seed).normal(size=len(self.names))
        return (self.worth[query] + noise * errors)[places], places

    def reranker(self, noise, fails_after=None):
        """A server at /v1/rerank; it fails after so many calls."""
        asked = iter(range(10**6))

        def answer(body):
            if fails_after is not None and next(asked) >= fails_after:
                return refusal("no memory left", 422)
            uris = [document["content"][0]["image_url"]["url"] for document in body["documents"]]
            logits, places = self.logits(body["query"], uris, noise, alone=True)
            self.shown.update((body["query"], place) for place in places)
            results = [{"index": at, "relevance_score": 1 / (1 + math.exp(-z))} for at, z in enumerate(logits)]
            return {"results": results, "usage": {"total_tokens": 500 * len(uris)}}

        return ChatServer(answer)

    def chat(self, noise, fails_after=None):
        """A server of chat completions; it answers in no readable way after so many calls."""
        asked = iter(range(10**6))

        def answer(body):
            if fails_after is not None and next(asked) >= fails_after:
                return completion("sorry")
            parts = [part for message in body["messages"] if isinstance(message["content"], list)
                     for part in message["content"]]  # fmt: skip
            text = " ".join(part["text"] for part in parts if part["type"] == "text")
            query = next(one for one in QUERIES if one in text)
            uris = [part["image_url"]["url"] for part in parts if "image_url" in part]
            logits, _ = self.logits(query, uris, noise, alone=False)
            logs = logits - np.logaddexp.reduce(logits)
            options = dict(zip("ABCDEFGHI", logs.tolist(), strict=False))
            said = completion(max(options, key=options.get), logprobs=options)
            return said | {"usage": {"prompt_tokens": 3000, "completion_tokens": 1}}

        return ChatServer(answer)
