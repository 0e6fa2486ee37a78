"""A model hub on loopback: it serves the files of one folder under one name, and notes what it was asked for."""

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """`with HubServer("owner/name", folder) as hub`: `hub.url`, and `hub.asked`, the paths in order.

    sizes: of files that are said to be there and are not, in bytes.
    """

    def __init__(self, name: str, folder: Path, sizes: dict[str, int]) -> None:
        self.name, self.folder, self.sizes, self.asked = name, folder, sizes, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(path)
        if path.startswith(f"/api/models/{self.name}") and "/tree/" not in path:
            self._send(request, json.dumps(self._info()).encode(), {"Content-Type": "application/json"})
            return
        file = self.folder / path.rpartition("/")[2]
        if path.startswith(f"/{self.name}/resolve/") and file.is_file():
            data = file.read_bytes()
            self._send(request, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})
            return
        known = f"/{self.name}/" in path
        self._send(request, b"", {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"}, 404)

    def _info(self) -> dict:
        files = {path.name: path.stat().st_size for path in self.folder.iterdir()} | self.sizes
        siblings = [{"rfilename": name, "size": size, "blobId": "0"} for name, size in files.items()]
        return {"_id": "1", "id": self.name, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0,
                "likes": 0, "private": False}  # fmt: skip

    @staticmethod
    def _send(request, data: bytes, headers: dict, status: int = 200) -> None:
        request.send_response(status)
        for name, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(data))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)


class DatasetServer:
    """`with DatasetServer("owner/name", {path: bytes}) as hub`: a dataset's tree and files, in pages of 50.

    env: the environment of a process that takes it for the hub.
    """

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.name, self.files = name, files
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", 1 << 16

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.env = {**os.environ, "HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}

    def __enter__(self) -> "DatasetServer":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request) -> None:
        parts = urlsplit(request.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if path.startswith(f"/api/datasets/{self.name}/tree/"):
            return self._tree(request, path, int(query.get("cursor", ["0"])[0]))
        if path.startswith(f"/api/datasets/{self.name}/paths-info/"):
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            return self._json(request, [self._about(name) for name in wanted if name in self.files])
        if path.startswith(f"/api/datasets/{self.name}"):
            return self._json(request, {"_id": "1", "id": self.name, "sha": COMMIT, "siblings": [], "tags": []})
        name = path.partition("/resolve/")[2].partition("/")[2]
        data = self.files[name]
        status, more = 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if wanted := request.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            status, more["Content-Range"] = 206, f"bytes {start}-{end}/{len(data)}"
            data = data[start : end + 1]
        return HubServer._send(request, data, more, status)

    def _tree(self, request, path, start) -> None:
        prefix = path.partition("/tree/")[2].partition("/")[2]
        names = sorted(name for name in self.files if name.startswith(prefix))
        more = {}
        if start + 50 < len(names):
            here = f"{self.url}{request.path.partition('?')[0]}"
            more = {"Link": f'<{here}?recursive=true&cursor={start + 50}>; rel="next"'}
        self._json(request, [self._about(name) for name in names[start : start + 50]], more)

    def _about(self, name) -> dict:
        data = self.files[name]
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _json(self, request, document, more=None) -> None:
        HubServer._send(request, json.dumps(document).encode(), {"Content-Type": "application/json", **(more or {})})
