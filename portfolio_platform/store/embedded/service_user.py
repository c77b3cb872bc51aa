"""The account the server runs under: PostgreSQL refuses root, so root is dropped."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portfolio_platform.store.embedded.errors import ServiceUserError


@dataclass(frozen=True)
class ServiceUser:
    """An account with a passwd entry (initdb demands one).

    Attributes
    ----------
    name : str
        Login name.
    uid, gid : int
        Numeric ids.
    dropped : bool
        Whether this process is root and children must be switched to this account.
    """

    name: str
    uid: int
    gid: int
    dropped: bool

    @property
    def popen(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen` that run a child under this account."""
        if not self.dropped:
            return {"cwd": "/"}
        return {"cwd": "/", "user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, directory: Path) -> bool:
        """Whether this account may traverse `directory` and everything above it.

        Asked of the kernel in a child under that account, so that access lists and mounts
        count as well as mode bits. Nothing is changed to make the answer yes.
        """
        return self._test("-x", directory)

    def can_read(self, path: Path) -> bool:
        """Whether this account may read `path`."""
        return self._test("-r", path)

    def _test(self, flag: str, path: Path) -> bool:
        if not self.dropped:
            return os.access(path, os.X_OK if flag == "-x" else os.R_OK)
        command = ["/bin/sh", "-c", f'test {flag} "$1"', "sh", str(path)]
        return subprocess.run(command, check=False, **self.popen).returncode == 0

    def own(self, path: Path) -> None:
        """Hand `path` (not its contents) to this account."""
        if self.dropped:
            os.chown(path, self.uid, self.gid)

    def directory(self, path: Path, mode: int) -> Path:
        """Create `path` with `mode`, owned by this account, if it is not there."""
        if not path.is_dir():
            path.mkdir(mode=mode, parents=True, exist_ok=True)
            path.chmod(mode)
            self.own(path)
        return path


def _entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _named(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def choose(home: Path, data: Path | None = None) -> ServiceUser:
    """Choose the account for a cluster kept under `home`.

    An ordinary user runs the server itself. Root takes, in this order: the owner of an existing
    data directory, the owner of the nearest existing directory above `home` when that is not
    root (a checkout of an ordinary user used through sudo), `postgres`, `nobody`. No account is
    ever created.

    Raises
    ------
    ServiceUserError
        No usable account has a passwd entry, or the cluster belongs to someone else.
    """
    uid = os.geteuid()
    if uid != 0:
        entry = _entry(uid)
        if entry is None:
            raise ServiceUserError(
                f"uid {uid} has no passwd entry, which initdb demands; add one to /etc/passwd "
                "or set DATABASE_URL to a server that is already running"
            )
        if data is not None and data.exists() and data.stat().st_uid != uid:
            owner = _entry(data.stat().st_uid)
            raise ServiceUserError(
                f"{data} belongs to {owner.pw_name if owner else data.stat().st_uid}; start it "
                "as that user or as root, or choose another PORTFOLIO_HOME"
            )
        return ServiceUser(entry.pw_name, uid, entry.pw_gid, dropped=False)
    existing = data if data is not None and data.exists() else None
    if existing is None:
        existing = next(path for path in (home, *home.parents) if path.exists())
    candidates = [
        _entry(existing.stat().st_uid) if existing.stat().st_uid else None,
        _named("postgres"),
        _named("nobody"),
    ]
    for entry in candidates:
        if entry is not None and entry.pw_uid != 0:
            return ServiceUser(entry.pw_name, entry.pw_uid, entry.pw_gid, dropped=True)
    raise ServiceUserError(
        "PostgreSQL refuses to run as root and neither `postgres` nor `nobody` has a passwd "
        "entry; add one of them or set DATABASE_URL to a server that is already running"
    )
