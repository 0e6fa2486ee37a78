"""Chromium without a window, by the DevTools protocol over its pipe: no port, and no package."""

import base64
import contextlib
import fcntl
import importlib.resources
import json
import os
import queue
import shutil
import subprocess
import threading
import time

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9,
        "Home": 36, "End": 35, "Backspace": 8}  # fmt: skip


@contextlib.contextmanager
def browser(profile):
    """A running browser with its profile in a folder that is not there yet."""
    (to_read, given), (taken, to_write) = os.pipe(), os.pipe()
    fds = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 20) for one in (to_read, to_write)]
    for one in (to_read, to_write):
        os.close(one)
    # It reads commands from 3, and writes to 4.
    command = ["bash", "-c", f'exec "$0" "$@" 3<&{fds[0]} 4>&{fds[1]}', BROWSER, *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=fds)
    for one in fds:
        os.close(one)
    made = Browser(given, taken)
    try:
        yield made
    finally:
        with contextlib.suppress(OSError, AssertionError):
            made.call("Browser.close")
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        made.close()


class Browser:
    """Sends commands, and sorts what comes back into replies and events."""

    def __init__(self, given, taken):
        self._given, self._taken = given, taken
        self._number = 0
        self._replies = {}
        self._lock = threading.Lock()
        self.pages = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(self, method, session=None, seconds=60, **params):
        """The result of a command."""
        with self._lock:
            self._number += 1
            number, reply = self._number, queue.Queue()
            self._replies[number] = reply
            message = {"id": number, "method": method, "params": params}
            data = json.dumps({**message, "sessionId": session} if session else message).encode() + b"\0"
            while data:
                data = data[os.write(self._given, data) :]
        found = reply.get(timeout=seconds)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def page(self, width=1280, height=900, dark=False, scale=1):
        """A page in a context of its own: no storage or cache is shared with others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        made = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            made.call(f"{domain}.enable")
        made.size(width, height, scale)
        made.look(dark)
        return made

    def close(self):
        """Release the pipes, once the browser has ended."""
        self._reader.join(10)
        os.close(self._given)
        os.close(self._taken)

    def _read(self):
        held = b""
        while part := os.read(self._taken, 1 << 20):
            *whole, held = (held + part).split(b"\0")
            for text in whole:
                self._sort(json.loads(text))

    def _sort(self, message):
        if "id" in message:
            self._replies.pop(message["id"]).put(message)
        elif page := self.pages.get(message.get("sessionId")):
            page.events.append(message)


class Page:
    """A page: what a person does with it, and what it did."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        self.events = []

    def call(self, method, **params):
        """The result of a command for this page."""
        return self._browser.call(method, self._session, **params)

    def size(self, width, height, scale=1):
        """Set the size of the view, in px."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=width < 600)  # fmt: skip

    def look(self, dark, still=True):
        """Be a system that is dark or light, and one where nothing should move."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                    {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}]  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=features)

    def go(self, address):
        """Load an address, and wait until it has loaded."""
        before = self._loads()
        self.call("Page.navigate", url=address)
        self.until(lambda: self._loads() > before)

    def do(self, script):
        """The value of an expression, awaited where it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script, seconds=20):
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.do(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"still not: {script}\n{self.do('document.body.innerText')[:2000]}"
            time.sleep(0.02)

    def until(self, condition, seconds=20):
        """Wait until something is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def press(self, *keys):
        """Press keys one after the other: names of `KEYS`, or characters."""
        for key in keys:
            code = KEYS.get(key, 0)
            text = {"Enter": "\r"}.get(key, "" if code else key)
            key_of = {"key": key, "windowsVirtualKeyCode": code, "code": key if code else ""}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **key_of)
            self.call("Input.dispatchKeyEvent", type="keyUp", **key_of)

    def type(self, text):
        """Type letters."""
        self.press(*text)

    def back(self):
        """The browser's Back."""
        self.do("history.back()")

    def shot(self, path, whole=False):
        """Write what one sees as a PNG; with `whole` the page down to its end."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def axe(self):
        """What axe finds against WCAG 2.1 AA, and its best practices, as texts."""
        source = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        self.do(f"window.axe === undefined && (() => {{ {source} }})()")
        rules = '["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]'
        found = json.loads(
            self.do(f"axe.run(document, {{runOnly: {rules}}}).then((one) => JSON.stringify(one.violations))")
        )
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found
            for node in one["nodes"]
        ]

    def of_kind(self, method):
        """The parameters of all events of a kind."""
        return [event["params"] for event in [*self.events] if event["method"] == method]

    def requests(self):
        """The addresses of all requests."""
        return [one["request"]["url"] for one in self.of_kind("Network.requestWillBeSent")]

    def complaints(self):
        """Errors of scripts, and what the console said of them or of the policy."""
        thrown = [one["exceptionDetails"] for one in self.of_kind("Runtime.exceptionThrown")]
        logged = [one["entry"] for one in self.of_kind("Log.entryAdded") if one["entry"]["level"] == "error"]
        return [json.dumps(one)[:500] for one in [*thrown, *logged]]

    def _loads(self):
        return len(self.of_kind("Page.loadEventFired"))
