"""A bucket on loopback: the requests of S3 that reading takes, with real signatures' keys, pages, ranges and ETags."""

import hashlib
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET = "AKIATESTTESTTEST", "s3cr3t-never-printed"


class S3Server:
    """`with S3Server() as s3`: `s3.objects["bucket/key"] = bytes`, and `s3.asked`, the requests in order.

    delay: seconds before each reply.  most: the most requests that waited for theirs at once.
    page: keys in a page of a listing.  denied: whether all is denied.
    on_request: called with each request's line first; what it returns, bytes or not, tells how to fail: "drop" breaks
    off half way through the body, "error" is a 503.
    """

    def __init__(self) -> None:
        self.objects, self.asked = {}, []
        self.changed = {}
        self.delay, self.page, self.denied, self.on_request = 0.0, 1000, False, lambda _: None
        self.most, self._now, self._lock = 0, 0, threading.Lock()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", 1 << 16, True

            def do_GET(self):
                bucket.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 256

            def handle_error(self, *_):  # a client that goes away
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.env = {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def __enter__(self) -> "S3Server":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reads(self) -> list[str]:
        """The objects that were read, not listed."""
        return [line for line in self.asked if line.startswith("GET") and "list-type" not in line]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        line = f"{request.command} {request.path}"
        self.asked.append(line)
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.delay)
        with self._lock:
            self._now -= 1
        fault = self.on_request(line)
        if fault == "error":
            return self._error(request, 503, "ServiceUnavailable", "Please reduce your rate")
        if f"Credential={KEY}/" not in request.headers.get("Authorization", ""):
            return self._error(request, 403, "InvalidAccessKeyId", "The key you provided does not exist")
        if self.denied:
            return self._error(request, 403, "AccessDenied", "Access Denied")
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        path = unquote(parts.path).strip("/") if "list-type" in query else unquote(parts.path)[1:]
        if "list-type" in query:
            return self._list(request, path, query)
        if path not in self.objects:
            return self._error(request, 404, "NoSuchKey", "The specified key does not exist.")
        return self._object(request, path, fault)

    def _list(self, request, bucket, query) -> None:
        prefix = query.get("prefix", "")
        if not any(name.startswith(f"{bucket}/") for name in self.objects):
            return self._error(request, 404, "NoSuchBucket", "The specified bucket does not exist")
        keys = sorted(name[len(bucket) + 1 :] for name in self.objects if name.startswith(f"{bucket}/{prefix}"))
        after = query.get("continuation-token", "")
        keys = [key for key in keys if key > after]
        page = keys[: self.page]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[f'{bucket}/{key}'])}</Size>"
            f"<LastModified>2026-01-01T00:00:{self.changed.get(f'{bucket}/{key}', 0):02}.000Z</LastModified>"
            f"<ETag>&quot;{_etag(self.objects[f'{bucket}/{key}'])}&quot;</ETag></Contents>"
            for key in page
        )
        cut = len(keys) > len(page)
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if cut else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(cut).lower()}</IsTruncated>{more}{rows}</ListBucketResult>"
        )
        return self._send(request, 200, body.encode(), {"Content-Type": "application/xml"})

    def _object(self, request, path, fault) -> None:
        data, status = self.objects[path], 200
        headers = {"ETag": f'"{_etag(data)}"', "Accept-Ranges": "bytes",
                   "Last-Modified": formatdate(1767225600 + self.changed.get(path, 0), usegmt=True)}  # fmt: skip
        if wanted := request.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, status = data[start : end + 1], 206
        if fault == "drop":
            self._send(request, status, data[: len(data) // 2], headers | {"Content-Length": str(len(data))})
            request.close_connection = True
            return
        self._send(request, status, data, headers)

    def _error(self, request, status, code, message) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self._send(request, status, body.encode(), {"Content-Type": "application/xml"})

    @staticmethod
    def _send(request, status, data, headers) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(data)


def _etag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
