"""The routes that turn texts into vectors: our own, and OpenAI's for clients that exist."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from vdistill.serve import asked as requests
from vdistill.serve.fields import Field, read_json
from vdistill.serve.limits import Pool
from vdistill.serve.refusals import json_response, wrong
from vdistill.serve.service import Service

ENCODING = Field("encoding_format", "text", "Vectors as lists of numbers, or as Base64 of float32, little-endian.",
                 "float", choices=("float", "base64"))  # fmt: skip
_DIMENSIONS = Field("dimensions", "integer", "The length of the vectors, which cannot be another.", None, 1, 100_000)
_USER = Field("user", "text", "Ignored.")
OPENAI = (requests.MODEL, ENCODING, _DIMENSIONS, _USER)


async def embed(service: Service, request: Request) -> Response:
    """POST /v1/embed."""
    async with service.admission.body(request) as body:
        document = requests.json_object(request, body)
        texts = requests.texts(document.pop("texts", None), "texts")
        model = read_json((requests.MODEL,), document)["model"]
    name, vectors, _ = await _pool(service, texts).run(lambda: service.answers.embed(texts, model))
    return json_response({"model": name, "dim": vectors.shape[1], "vectors": _numbers(vectors)})


async def openai(service: Service, request: Request) -> Response:
    """POST /v1/embeddings."""
    async with service.admission.body(request) as body:
        document = requests.json_object(request, body)
        given = document.pop("input", None)
        texts = requests.texts([given] if isinstance(given, str) else given, "input")
        values = read_json(OPENAI, document)
    name, vectors, tokens = await _pool(service, texts).run(lambda: service.answers.embed(texts, values["model"]))
    if values["dimensions"] not in (None, vectors.shape[1]):
        raise wrong(f"the vectors have {vectors.shape[1]} dimensions", "leave dimensions out")
    as_text = values["encoding_format"] == "base64"
    numbers = [_base64(vector) for vector in vectors] if as_text else _numbers(vectors)
    data = [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(numbers)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"object": "list", "data": data, "model": name, "usage": usage})


async def models(service: Service, request: Request) -> Response:
    """GET /v1/models."""
    with service.indexes.lease() as found:
        listed = [
            {"id": name, "object": "model", "created": int(one.manifest.created), "owned_by": "vdistill"}
            for name, one in found.searchers.items()
        ]
    return json_response({"object": "list", "data": listed})


def _pool(service: Service, texts: list[str]) -> Pool:
    return service.pools.quick if len(texts) == 1 else service.pools.slow


def _numbers(vectors: np.ndarray) -> list[Any]:
    """Each number as short as float32 can be told by."""
    return [[float(str(number)) for number in vector] for vector in vectors]


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
