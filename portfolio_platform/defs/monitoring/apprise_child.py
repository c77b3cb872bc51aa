"""Sends one notification through apprise, in a process that cannot reach private addresses.

The request comes as JSON on standard input, so that no credential is seen in a process list. An
audit hook looks at every address that is dialled, whatever library dials it.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import subprocess
import sys
from typing import Any

from portfolio_platform.defs.monitoring.webhooks import NotSent
from portfolio_platform.store.addresses import is_public
from portfolio_platform.store.channels import LOCAL_SCHEMES

_SECONDS = 45
_refused: list[str] = []


def _refuse_private(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
        try:
            allowed = host is not None and is_public(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            allowed = False
        if not allowed:
            _refused.append(f"{address!r} is an address that notifications must not reach")
            raise PermissionError(_refused[-1])
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        raise PermissionError("notifications do not start programs")


def main() -> int:
    """Read one request, send it, answer with JSON on standard output."""
    import apprise

    request = json.load(sys.stdin)
    said: list[str] = []

    class Listen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                said.append(record.getMessage())

    logging.getLogger("apprise").addHandler(Listen())
    asset = apprise.AppriseAsset(
        app_id="portfolio-platform",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    sender = apprise.Apprise(asset=asset)
    scheme = request["url"].partition(":")[0].strip().lower()
    if scheme in LOCAL_SCHEMES or not sender.add(request["url"]):
        sys.stdout.write(json.dumps({"sent": False, "final": True, "reason": "not an address"}))
        return 0
    sys.addaudithook(_refuse_private)
    sent = bool(sender.notify(title=request["title"], body=request["body"]))
    reason = "; ".join(_refused[:1] or said[-2:]) or "the service did not take it"
    sys.stdout.write(json.dumps({"sent": sent, "final": bool(_refused), "reason": reason}))
    return 0


def send(url: str, title: str, body: str) -> None:
    """Send through apprise in a child process.

    Raises
    ------
    NotSent
        It was not taken; addresses of the URL are not repeated in the reason.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-m", "portfolio_platform.defs.monitoring.apprise_child"],
            input=json.dumps({"url": url, "title": title, "body": body}),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotSent(f"apprise did not finish within {_SECONDS} s") from error
    try:
        answer = json.loads(child.stdout)
    except json.JSONDecodeError as error:
        raise NotSent(f"apprise ended with code {child.returncode}") from error
    if not answer["sent"]:
        raise NotSent(str(answer["reason"]).replace(url, "…")[:300], final=bool(answer["final"]))


if __name__ == "__main__":
    sys.exit(main())
