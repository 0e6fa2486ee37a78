"""A teacher behind the OpenAI-compatible chat API, in a page of Python: it judges by how light images are.

    python server.py --port 8000

Put a model of yours in place of `judge`: whatever gives each image a score can teach.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import math
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image, ImageStat

MOST_BYTES = 50_000_000  # of a request


def judge(text: str, images: list[Image.Image]) -> list[float]:
    """A score for each image; their softmax is what the answer says."""
    light = [ImageStat.Stat(image.convert("L")).mean[0] / 255 for image in images]
    dark = any(word in text.lower() for word in ("dark", "black", "night"))
    return [8 * (1 - value if dark else value) for value in light]


def answered(request: dict) -> dict:
    """The answer to a request for chat completions: one letter, with the log-probabilities of all of them.

    The user's message holds "A:", an image, "B:", an image, …, and at last the query.
    """
    letters, images, query = [], [], ""
    for part in request["messages"][-1]["content"]:
        if part["type"] == "image_url":
            content = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            images.append(Image.open(io.BytesIO(content)))
            letters.append(query.strip().rstrip(":"))
        else:
            query = part["text"]
    scores = judge(query, images)
    total = math.log(sum(map(math.exp, scores)))
    options = [{"token": letter, "logprob": score - total} for letter, score in zip(letters, scores, strict=True)]
    best = max(options, key=lambda option: option["logprob"])
    return {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": best["token"]},
                "logprobs": {"content": [{**best, "top_logprobs": options}]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 100 * len(images), "completion_tokens": 1},
    }


class Handler(BaseHTTPRequestHandler):
    """POST …/chat/completions."""

    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True  # else an answer waits 40 ms for its headers to be acknowledged

    def do_POST(self) -> None:
        """Answer, or say what was wrong with the request."""
        length = int(self.headers.get("Content-Length", 0))
        if length > MOST_BYTES or not self.path.endswith("/chat/completions"):
            self.send_error(413 if length > MOST_BYTES else 404)
            return
        try:
            status, document = 200, answered(json.loads(self.rfile.read(length)))
        except (ValueError, KeyError, TypeError, OSError, Image.DecompressionBombError) as error:
            status, document = 400, {"error": {"message": f"{type(error).__name__}: {error}"}}
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    """Takes many connections at once: one that it drops is tried again after a second."""

    request_queue_size = 256


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        server = Server(("127.0.0.1", options.port), Handler)
    except OSError as error:
        sys.exit(f"cannot listen on port {options.port}: {error.strerror}; choose another with --port")
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
