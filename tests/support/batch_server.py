"""A server on loopback with OpenAI's batch API, beside its chat API; what it processes is counted, as a bill would."""

import json
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from chat_server import Server


class BatchServer:
    """Answers each request of a job, and each one that is posted, by `answer(body)`.

    fates: of the jobs, in the order of their creation, the last one again and again: completed, in_progress, failed
    (nothing is processed), expired (half is), partly (half fails with HTTP 400), twice (each result comes twice).
    A job is processed while it is created, so whatever was created is paid for.  delay: seconds before each response.
    refuses: makes the error of a request that is not processed, from its body; None where it is.
    """

    def __init__(self, answer, *fates, delay=0.0, refuses=lambda body: None):
        self.answer, self.fates, self.delay, self.refuses = answer, list(fates) or ["completed"], delay, refuses
        self.files, self.jobs, self.requests, self.asked_at_once = {}, {}, [], 0
        self.processed = Counter()  # of the custom ids
        self._lock = threading.RLock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._reply(server.post(urlsplit(self.path).path, body, self.headers))

            def do_GET(self):
                url = urlsplit(self.path)
                self._reply(server.get(url.path, {name: one for name, (one, *_) in parse_qs(url.query).items()}))

            def _reply(self, found):
                time.sleep(server.delay)
                status, content = found if isinstance(found, tuple) else (200, found)
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                with suppress(BrokenPipeError, ConnectionResetError):  # the client may have been killed
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def post(self, path, body, headers):
        time.sleep(self.delay)
        with self._lock:
            self.requests.append(("POST", path))
            if path.endswith("/chat/completions"):
                self.asked_at_once += 1
                return self.answer(json.loads(body))
            if path == "/v1/files":
                boundary = re.search(r"boundary=(\S+)", headers["Content-Type"])[1].encode()
                parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)]
                file = next(content for head, _, content in parts if b"filename=" in head)
                assert any(content.strip() == b"batch" for _, _, content in parts)
                return self._file(file.removesuffix(b"\r\n").decode())
            return self._create(json.loads(body)) if path == "/v1/batches" else (404, {"error": {"message": path}})

    def get(self, path, query):
        with self._lock:
            self.requests.append(("GET", path))
            if found := re.fullmatch(r"/v1/files/(.+)/content", path):
                return self.files[found[1]]
            if path == "/v1/batches":
                ids = list(reversed(self.jobs))  # the newest first
                start = ids.index(query["after"]) + 1 if "after" in query else 0
                page = ids[start : start + int(query["limit"])]
                return {"data": [self.jobs[one] for one in page], "has_more": start + len(page) < len(ids)}
            job = self.jobs.get(path.rpartition("/")[2])
            return job or (404, {"error": {"message": "no such batch"}})

    def _file(self, content):
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return {"id": name, "object": "file"}

    def _create(self, body):
        fate = self.fates[min(len(self.jobs), len(self.fates) - 1)]
        job = {"id": f"batch_{len(self.jobs)}", "input_file_id": body["input_file_id"], "metadata": body["metadata"],
               "status": "failed" if fate == "failed" else "in_progress"}  # fmt: skip
        self.jobs[job["id"]] = job
        if fate == "failed":
            job["errors"] = {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}]}
        elif fate != "in_progress":
            self.process(job["id"], fate)
        return dict(job)

    def process(self, job_id, fate="completed"):
        """Let a job end in this way."""
        job = self.jobs[job_id]
        requests = [json.loads(line) for line in self.files[job["input_file_id"]].splitlines()]
        output, errors = [], []
        for number, request in enumerate(requests):
            spared = number % 2 == 1
            error = self.refuses(request["body"])
            if fate == "expired" and spared:
                why = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append({"custom_id": request["custom_id"], "response": None, "error": why})
            elif error or (fate == "partly" and spared):
                error = error or {"message": "The image was not understood."}
                response = {"status_code": 400, "body": {"error": error}}
                errors.append({"custom_id": request["custom_id"], "response": response, "error": None})
            else:
                self.processed[request["custom_id"]] += 1
                response = {"status_code": 200, "body": self.answer(request["body"])}
                output.append({"custom_id": request["custom_id"], "response": response, "error": None})
        output = output * 2 if fate == "twice" else output[::-1]  # in any order
        for name, lines in (("output_file_id", output), ("error_file_id", errors)):
            job[name] = self._file("\n".join(map(json.dumps, lines)) + "\n")["id"] if lines else None
        job["status"] = "expired" if fate == "expired" else "completed"
        job["request_counts"] = {"total": len(requests), "completed": len(output), "failed": len(errors)}

    @property
    def paid_twice(self):
        """The custom ids that were processed more than once."""
        return [key for key, times in self.processed.items() if times > 1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
