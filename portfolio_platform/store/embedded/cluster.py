"""A cluster on disk: where its parts lie, how it is created, what its pid file says."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from portfolio_platform.store.embedded import binaries, service_user
from portfolio_platform.store.embedded.errors import (
    EmbeddedServerError,
    IncompatibleCluster,
    ServerDidNotStart,
)
from portfolio_platform.store.embedded.service_user import ServiceUser

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType]

SUPERUSER = "supabase_admin"
ROLES = (SUPERUSER, "postgres", "authenticator", "portfolio_api")
SOCKET_PATH_LIMIT = 100  # the kernel allows 107 bytes, the file name in the directory included
INITDB_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class PostmasterFile:
    """What `postmaster.pid` says; the only truth about where a running server listens."""

    pid: int
    port: int
    socket_dir: Path
    status: str


@dataclass(frozen=True)
class Cluster:
    """Paths of one cluster.

    Attributes
    ----------
    base : Path
        `<home>/postgres/<major>`: locks, credentials and logs, readable to the starter.
    storage : Path
        Where data and socket lie: `base` itself, or a place outside the home when the account
        the server runs under cannot enter `base`.
    """

    base: Path
    storage: Path
    major: int
    user: ServiceUser
    install: Path

    @property
    def data(self) -> Path:
        return self.storage / "data"

    @property
    def log(self) -> Path:
        return self.base / "postgres.log"

    @property
    def start_lock(self) -> Path:
        return self.base / "start.lock"

    @property
    def clients_lock(self) -> Path:
        return self.base / "clients.lock"

    @property
    def daemon_lock(self) -> Path:
        return self.base / "daemon.lock"

    @property
    def stopped_marker(self) -> Path:
        return self.base / "stopped"

    @property
    def port_file(self) -> Path:
        return self.base / "port"

    def binary(self, name: str) -> str:
        return str(self.install / "bin" / name)

    def postmaster(self) -> PostmasterFile | None:
        """Read `postmaster.pid`; None when there is none or it is not complete yet."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 8:
            return None
        return PostmasterFile(int(lines[0]), int(lines[3]), Path(lines[4]), lines[7].strip())

    def recorded_pid(self) -> int | None:
        """The pid in `postmaster.pid`, also while the rest of the file is missing."""
        try:
            first = (self.data / "postmaster.pid").read_text().split("\n", 1)[0].strip()
        except FileNotFoundError:
            return None
        return abs(int(first)) if first.lstrip("-").isdigit() else None

    def password(self, role: str) -> str:
        """Password of `role` for TCP connections.

        Raises
        ------
        EmbeddedServerError
            No password was made for that role.
        """
        credentials = json.loads((self.base / "credentials.json").read_text())
        if role not in credentials:
            raise EmbeddedServerError(
                f"no password for role {role!r}; known: {', '.join(sorted(credentials))}"
            )
        return str(credentials[role])

    def check_version(self) -> None:
        """Refuse a data directory of another major version before the server touches it.

        Raises
        ------
        IncompatibleCluster
            With what to do.
        """
        version = self.data / "PG_VERSION"
        if not version.exists():
            return
        found = version.read_text().strip()
        if found != str(self.major):
            raise IncompatibleCluster(
                f"{self.data} was written by PostgreSQL {found}, not {self.major}; start it with "
                f"major={found}, or move the data with pg_dump and pg_restore"
            )


def locate(home: Path, major: int, *, install: Path | None = None) -> Cluster:
    """Settle where the cluster of `home` lies, creating the directories that are missing.

    Call with the start lock held. Modes of existing directories are never changed.
    """
    base = home / "postgres" / str(major)
    pointer = base / "location"
    storage = Path(pointer.read_text().strip()) if pointer.exists() else base
    user = service_user.choose(home, storage / "data")
    for directory in (home, home / "postgres", base):
        if not directory.is_dir():
            directory.mkdir(parents=True, mode=0o755)
            user.own(directory)
    if storage == base and not (base / "data").exists() and not user.can_enter(base):
        place = binaries.public_place(user)
        _remove_orphans(place)
        storage = Path(tempfile.mkdtemp(prefix=f"{home.resolve().parent.name}-{major}-", dir=place))
        storage.chmod(0o700)
        user.own(storage)
        (storage / "home").write_text(f"{base}\n")
        pointer.write_text(f"{storage}\n")
    tree = install if install is not None else binaries.locate(major)
    return Cluster(base, storage, major, user, binaries.reachable(tree, user))


def _remove_orphans(place: Path) -> None:
    """Delete stopped clusters of temporary homes that are gone; nobody can find them any more.

    Those of homes elsewhere are left alone: a home may be on a volume that is not mounted now.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    for note in place.glob("*/home"):
        with contextlib.suppress(FileNotFoundError):  # another home is removing it too
            base = Path(note.read_text().strip())
            cluster = note.parent
            stopped = not (cluster / "data" / "postmaster.pid").exists()
            if stopped and not base.exists() and temporary in base.parents:
                shutil.rmtree(cluster, onerror=_gone_is_fine)


def _gone_is_fine(call: object, path: str, failure: ExceptionInfo) -> None:
    """Whoever removes the same cluster at the same time takes files from under us."""
    if not isinstance(failure[1], FileNotFoundError):
        raise failure[1]


def find(home: Path, major: int) -> Cluster | None:
    """The cluster of `home` if one was ever created there; creates nothing."""
    base = home / "postgres" / str(major)
    pointer = base / "location"
    storage = Path(pointer.read_text().strip()) if pointer.exists() else base
    if not (storage / "data" / "PG_VERSION").exists():
        return None
    user = service_user.choose(home, storage / "data")
    return Cluster(base, storage, major, user, binaries.locate(major))


def create(cluster: Cluster, *, sync: bool) -> None:
    """Run initdb unless the cluster exists; an interrupted earlier attempt is discarded.

    The new cluster is built beside its final place and renamed when it is whole.

    Raises
    ------
    ServerDidNotStart
        initdb failed; the message carries what it said.
    """
    cluster.check_version()
    if (cluster.data / "PG_VERSION").exists():
        return
    if cluster.data.exists() and any(cluster.data.iterdir()):
        raise EmbeddedServerError(
            f"{cluster.data} is not empty and holds no PostgreSQL cluster; move it away"
        )
    partial = cluster.storage / "data.partial"
    if partial.exists():
        shutil.rmtree(partial)
    credentials = {role: secrets.token_urlsafe(24) for role in ROLES}
    secret = cluster.base / "credentials.json"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(credentials, file)
    cluster.user.own(secret)
    with tempfile.TemporaryDirectory(prefix="portfolio-initdb-") as scratch:
        cluster.user.own(Path(scratch))
        pwfile = Path(scratch) / "password"
        with open(os.open(pwfile, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(credentials[SUPERUSER])
        cluster.user.own(pwfile)
        cluster.user.directory(partial, 0o700)
        for locale in ("C.UTF-8", "C"):  # macOS may lack C.UTF-8
            command = [
                cluster.binary("initdb"),
                *("-D", str(partial), "-U", SUPERUSER, f"--pwfile={pwfile}"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--encoding=utf8", f"--locale={locale}", "--data-checksums"),
                *(() if sync else ("--no-sync",)),
            ]
            done = subprocess.run(
                command,
                env=INITDB_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                **cluster.user.popen,
            )
            if done.returncode == 0 or "locale" not in done.stderr:
                break
    if done.returncode != 0:
        raise ServerDidNotStart(f"initdb failed in {partial}: {done.stderr.strip()[-1500:]}")
    if cluster.data.exists():
        cluster.data.rmdir()
    partial.rename(cluster.data)
