"""A tab of headless Chromium, driven through the Chrome DevTools protocol."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from urllib.request import ProxyHandler, build_opener

import websocket

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
PATIENCE = 300  # Seconds to wait for the browser before calling it broken.


class Tab:
    """Commands to a tab, and the events that it has sent."""

    def __init__(self, address):
        # Chromium refuses connections that say which page they come from.
        self._socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self._n_calls = 0
        self.events = []

    def call(self, method, **parameters):
        """Send a command; return its result."""
        self._n_calls += 1
        message = {"id": self._n_calls, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while (answer := self._receive()).get("id") != self._n_calls:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, url):
        """Load a page, noting every request that it makes and every error that it reports."""
        self.events.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        while not self.of_kind("Page.loadEventFired"):
            self._receive()

    def evaluate(self, expression):
        """Return the value of a JavaScript expression, of a promise what it resolves to."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def of_kind(self, method):
        """Return the parameters of the events of a kind."""
        return [event["params"] for event in self.events if event["method"] == method]

    def close(self):
        """Take leave of the browser."""
        self._socket.close()

    def _receive(self):
        message = json.loads(self._socket.recv())
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def chromium_tab(folder):
    """Start Chromium with its files in a folder; give its tab."""
    # As root there is no sandbox; containers have little shared memory.
    options = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    command = [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        tab = Tab(_address(process, folder / "DevToolsActivePort"))
        try:
            yield tab
        finally:
            tab.close()
    finally:
        process.terminate()
        process.wait()


def _address(process, file):
    """Wait for the port that Chromium listens at; return the address of its tab."""
    deadline = time.monotonic() + PATIENCE
    while not (file.exists() and (port := file.read_text().split("\n")[0])):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Chromium does not start.")
        time.sleep(0.05)
    # Not through a proxy: the browser is on this machine.
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/json/list") as answer:
        targets = json.load(answer)
    return next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
