"""A shop on loopback: it serves the images of a folder, and whatever else it is told to answer."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class ShopServer:
    """`with ShopServer(folder) as shop`: `shop.url`, and `shop.asked`, the paths in order.

    answers: by path, a function of the request handler that answers instead.  delay: seconds before each answer.
    robots: the robots.txt, a text or such a function.  most: the most requests that waited for their answers at once.
    It is a proxy too: requests for other hosts are answered by path alone, and noted with the address in `hosts`.
    """

    def __init__(self, folder: Path, context=None) -> None:
        self.folder, self.answers, self.delay, self.robots, self.headers = folder, {}, 0.0, None, {}
        self.asked, self.hosts, self.agents, self.most = [], Counter(), set(), 0
        self._lock, self._now = threading.Lock(), 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self):
                shop._answer(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):  # clients that hang up are no news
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ShopServer":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def images(self) -> list[str]:
        """The paths of images that were asked for."""
        return [path for path in self.asked if path.startswith("/images/")]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        address = request.path.partition("?")[0]
        path = "/" + address.partition("://")[2].partition("/")[2] if "://" in address else address
        with self._lock:
            self.asked.append(path)
            self.hosts[address.partition("://")[2].partition("/")[0]] += 1
            self.agents.add(request.headers["User-Agent"])
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.delay)
        with self._lock:
            self._now -= 1  # before the answer, after which the client may ask again at once
        self._given(request, path)

    def _given(self, request: BaseHTTPRequestHandler, path: str) -> None:
        if path == "/robots.txt" and not callable(self.robots):
            send(request, (self.robots or "").encode(), status=200 if self.robots is not None else 404)
        elif answer := self.robots if path == "/robots.txt" else self.answers.get(path):
            answer(request)
        elif path.startswith("/images/") and (file := self.folder / path.removeprefix("/images/")).is_file():
            tag = f'"{file.stat().st_mtime_ns}"'
            same = request.headers["If-None-Match"] == tag
            send(request, b"" if same else file.read_bytes(), status=304 if same else 200, ETag=tag, **self.headers)
        else:
            send(request, b"<html>no such page", status=404, **{"Content-Type": "text/html"})


def send(request: BaseHTTPRequestHandler, data: bytes = b"", status: int = 200, **headers: str) -> None:
    """Answer a request."""
    request.send_response(status)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Length": str(len(data)), **given}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data)


def broken_off(request: BaseHTTPRequestHandler) -> None:
    """An answer that ends before it is complete."""
    request.send_response(200)
    request.send_header("Content-Length", "999")
    request.end_headers()
    request.wfile.write(b"x")
    request.close_connection = True
