"""A real browser without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

PATIENCE = 60
"""Seconds after which a test gives up on what should happen at once."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1000,900",
)


class Page:
    """The browser's page. errors: uncaught exceptions, and what the page wrote to the console as errors."""

    def __init__(self, socket: ClientConnection) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._last = 0
        for domain in ("Runtime", "Page", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command and its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            event = json.loads(self._socket.recv(PATIENCE))
            if event.get("id") == self._last:
                assert "error" not in event, event["error"]
                return event["result"]
            self._note(event)

    def _note(self, event: dict[str, Any]) -> None:
        details = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            exception = details["exceptionDetails"]
            self.errors.append(exception.get("exception", {}).get("description") or exception["text"])
        elif event["method"] == "Runtime.consoleAPICalled" and details["type"] == "error":
            self.errors.append(" ".join(str(value.get("value")) for value in details["args"]))
        elif event["method"] == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true; returns its value."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; the page says {self.evaluate('document.body.innerText')!r}")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def click(self, selector: str) -> None:
        """Click as a user does: a page may ask for the user's gesture."""
        place = self.evaluate(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return {x: box.x + box.width / 2, y: box.y + box.height / 2} })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Page]:
    """Start Chromium with a fresh profile in `folder`, where downloads go as well."""
    assert CHROMIUM
    profile = folder / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
    environment = {**os.environ, "HOME": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert process.poll() is None, f"{CHROMIUM} ended with code {process.returncode}"
            assert time.monotonic() < end, f"{CHROMIUM} does not answer"
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            [target] = [target for target in json.load(answer) if target["type"] == "page"]
        with connect(target["webSocketDebuggerUrl"], max_size=None, ping_interval=None) as socket:
            page = Page(socket)
            page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
            yield page
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
