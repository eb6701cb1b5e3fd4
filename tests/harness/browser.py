"""Debian's Chromium without a window, told what to do over its pipe (Chrome DevTools Protocol), and the way to the admin door."""

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

# Chromium's own sandbox does not run for root, and /dev/shm of a container is small.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe"]


# Deque's rules of accessibility, as a package of PyPI brings them; what else is in it would want Playwright.
AXE = Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js")


class Failed(AssertionError):
    """Chromium refused a command."""


class Browser:
    """One Chromium with one page."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        # It reads commands at descriptor 3 and writes at 4, each with a zero byte at its end.
        shell = f"exec chromium \"$@\" 3<&{read} 4>&{write} {read}<&- {write}>&-"
        command = ["bash", "-c", shell, "chromium", *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        self._buffer = b""
        self._number = 0
        self._session = None
        self.events = []
        target = next(one for one in self("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Accessibility", "Log"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._out)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._profile.name, ignore_errors=True)

    def __call__(self, method, **parameters):
        """A command and what became of it; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (said := self._read()).get("id") != self._number:
            self.events.append(said)
        if "error" in said:
            raise Failed(f"{method}: {said['error']}")
        return said["result"]

    def _read(self):
        while b"\0" not in self._buffer:
            part = os.read(self._in, 1 << 16)
            if not part:
                raise Failed("Chromium has ended")
            self._buffer += part
        said, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(said)

    def await_event(self, method):
        for place, event in enumerate(self.events):
            if event.get("method") == method:
                return self.events.pop(place)
        while (event := self._read()).get("method") != method:
            self.events.append(event)
        return event

    def open(self, url):
        """Opens a page and waits until it is there."""
        self.events.clear()
        said = self("Page.navigate", url=url)
        assert "errorText" not in said, said
        self.await_event("Page.loadEventFired")

    def size(self, width, height=900, dark=False):
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = "dark" if dark else "light"
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, expression):
        """What an expression is worth on the page; a promise is waited for."""
        said = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def text(self):
        return self.value("document.body.innerText")

    def screenshot(self, path):
        said = self("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(said["data"]))

    def tree(self):
        """What a screen reader reads: role and name of everything that is not ignored."""
        nodes = self("Accessibility.getFullAXTree")["nodes"]
        worth = lambda node, name: node.get(name, {}).get("value", "")  # noqa: E731
        return [(worth(node, "role"), worth(node, "name")) for node in nodes if not node["ignored"]]

    def complaints(self):
        """What axe-core has against the page: rule, and the elements."""
        self.value(AXE.read_text(encoding="utf-8") + "; 0")
        found = self.value("axe.run(document, {resultTypes: ['violations', 'incomplete']})")
        told = lambda kind: [(one["id"], [node["html"] for node in one["nodes"]]) for one in found[kind]]  # noqa: E731
        return told("violations"), told("incomplete")

    def press(self, key, code):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def tab(self):
        """Presses Tab, and returns what has the focus: its text or label."""
        self.press("Tab", 9)
        return self.value("(e => e === document.body ? '' : e.textContent.trim() || e.id)(document.activeElement)")


@contextlib.contextmanager
def door(target):
    """A port that leads to a unix socket or to an address, as `ssh -L` makes one; yields what stands before a path."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        # Closing alone would not wake who accepts.
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener, target):
    with contextlib.suppress(OSError):
        while True:
            here, _ = listener.accept()
            there = socket.socket(socket.AF_INET if isinstance(target, tuple) else socket.AF_UNIX)
            there.connect(target if isinstance(target, tuple) else str(target))
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one, other):
    with contextlib.suppress(OSError):
        while part := one.recv(1 << 16):
            other.sendall(part)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
