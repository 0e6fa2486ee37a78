"""A chat completions server on loopback that can be told to misbehave."""

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def refusal(words, status=400, **more):
    """An error in the words of a server."""
    return status, {"error": {"message": words, **more}}, {}


def completion(text="B", logprobs=None, **message):
    """A well-formed answer; `logprobs` maps tokens to log-probabilities."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
    if logprobs is not None:
        options = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": options}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 1}}


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as there may be; one that is not taken is only tried again after a second."""

    daemon_threads, request_queue_size = True, 256
    busy = 0  # connections that are taken and not closed yet

    def __init__(self, *arguments):
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, *connection):
        with self._lock:
            self.busy += 1
        super().process_request(*connection)

    def process_request_thread(self, *connection):
        try:
            super().process_request_thread(*connection)
        finally:
            with self._lock:
                self.busy -= 1


class ChatServer:
    """Answers each request with the next of `script` (the last one again and again): a document, or a fault.

    A fault is (status, body, headers), "hang" or "reset"; a function makes one of these from the request's body. Each
    answer comes after `delay` seconds.
    """

    def __init__(self, *script, delay=0.0):
        self.script = list(script) or [completion(logprobs={"A": -2.0, "B": -0.2})]
        self.bodies, self.headers = [], []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    step = server.script[min(len(server.bodies), len(server.script) - 1)]
                    server.bodies.append((self.path, body))
                    server.headers.append(dict(self.headers))
                time.sleep(delay)
                self._answer(step(body) if callable(step) else step)

            def _answer(self, step):
                if step == "hang":
                    time.sleep(1.5)
                    return
                if step == "reset":
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices"')
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, content, headers = step if isinstance(step, tuple) else (200, step, {})
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # the client may have been killed
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def calls(self):
        return len(self.bodies)

    @property
    def repeated(self):
        """Requests that had been made before."""
        return self.calls - len({json.dumps(body, sort_keys=True) for body in self.bodies})

    def settle(self):
        """Wait until all is counted that was sent by processes which have ended meanwhile."""
        with socket.create_connection(self._server.server_address) as last:  # taken after theirs
            last.shutdown(socket.SHUT_WR)
            assert not last.recv(1)
        while self._server.busy:
            time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def interrupt_after(server, calls):
    """Press Ctrl-C in this process once the server got so many calls."""
    while server.calls < calls:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
