"""A headless Chromium that is asked through its own protocol what a page did."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def find_chromium() -> str | None:
    """Path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What happened while a page was open."""

    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


class Chromium:
    """One browser process; use as a context manager."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._next = 0

    def __enter__(self) -> Chromium:
        self._profile = tempfile.mkdtemp()
        self._process = subprocess.Popen(
            [
                self._executable,
                *FLAGS,
                "--remote-debugging-port=0",
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ready = Path(self._profile) / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (ready.exists() and len(ready.read_text().split()) == 2):
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__()
                raise RuntimeError("Chromium did not start")
            time.sleep(0.05)
        self._port, self._path = ready.read_text().split()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._profile, ignore_errors=True)

    def visit(
        self,
        page: Path,
        *,
        width: int,
        height: int = 900,
        dark: bool = False,
        ready: str,
        ask: dict[str, str] | None = None,
        screenshot: Path | None = None,
        timeout: float = 60.0,
    ) -> Visit:
        """Open a file, wait until the expression `ready` is true, evaluate `ask`, look at it."""
        from websockets.sync.client import connect

        visit = Visit()
        with connect(f"ws://127.0.0.1:{self._port}{self._path}", max_size=None) as socket:
            target = self._call(socket, visit, "Target.createTarget", {"url": "about:blank"})
            attached = self._call(
                socket,
                visit,
                "Target.attachToTarget",
                {"targetId": target["targetId"], "flatten": True},
            )
            session = attached["sessionId"]

            def call(method: str, **parameters: Any) -> dict[str, Any]:
                return self._call(socket, visit, method, parameters, session)

            for domain in ("Page", "Runtime", "Network", "Log"):
                call(f"{domain}.enable")
            call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            scheme = "dark" if dark else "light"
            call(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            call("Page.navigate", url=page.as_uri())
            deadline = time.monotonic() + timeout
            while not self._evaluate(call, ready):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{ready} stayed false; problems: {visit.problems}")
                time.sleep(0.1)
            for name, expression in (ask or {}).items():
                visit.values[name] = self._evaluate(call, expression)
            if screenshot is not None:
                picture = call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
                screenshot.write_bytes(base64.b64decode(picture["data"]))
            self._call(socket, visit, "Target.closeTarget", {"targetId": target["targetId"]})
        return visit

    @staticmethod
    def _evaluate(call: Any, expression: str) -> Any:
        answer = call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def _call(
        self,
        socket: Any,
        visit: Visit,
        method: str,
        parameters: dict[str, Any],
        session: str | None = None,
    ) -> dict[str, Any]:
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        socket.send(json.dumps(message))
        while True:
            answer = json.loads(socket.recv(timeout=60))
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(visit, answer)

    @staticmethod
    def _note(visit: Visit, event: dict[str, Any]) -> None:
        body = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                visit.requests.append(body["request"]["url"][:200])
            case "Runtime.exceptionThrown":
                visit.problems.append(json.dumps(body["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if body["type"] in {"error", "warning", "assert"}:
                visit.problems.append(json.dumps(body["args"])[:500])
            case "Log.entryAdded" if body["entry"]["level"] in {"error", "warning"}:
                visit.problems.append(body["entry"]["text"][:500])
