"""Secrets of users at rest: encrypted with a key that the database never sees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = Path("keys") / "notifications.key"
VARIABLE = "PORTFOLIO_SECRET_KEY"


class BadSecretKey(ValueError):
    """The key is not a Fernet key, or not the one that the secret was written with."""


def cipher(home: Path, configured: str | None = None) -> MultiFernet:
    """The cipher of this installation.

    Parameters
    ----------
    home : Path
        Where a key is made and kept (mode 0600) when none is configured.
    configured : str, optional
        Fernet keys (32 bytes, url-safe base64), newest first, comma-separated: the first
        encrypts, all decrypt, so that keys can be rotated.

    Raises
    ------
    BadSecretKey
        A key is malformed.
    """
    keys = configured.split(",") if configured else [keep_key(home)]
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys])
    except ValueError as error:
        raise BadSecretKey(
            f"{VARIABLE} must hold Fernet keys (`python -c 'from cryptography.fernet import "
            "Fernet; print(Fernet.generate_key().decode())'`)"
        ) from error


def newest_key(configured: str) -> str:
    """The one of several keys that encrypts, for a process that does nothing else."""
    return configured.split(",")[0].strip()


def keep_key(home: Path) -> str:
    """The key under `home`, made at the first call."""
    path = home / KEY_FILE
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
        try:
            # Of two first starters one wins, and both read its key.
            os.link(partial, path)
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_text()


def seal(cipher: Fernet | MultiFernet, secret: dict[str, Any]) -> str:
    """Encrypt a JSON-safe secret for storing."""
    return cipher.encrypt(json.dumps(secret).encode()).decode()


def unseal(cipher: MultiFernet, sealed: str) -> dict[str, Any]:
    """Decrypt a stored secret.

    Raises
    ------
    BadSecretKey
        It was written with another key, or was tampered with.
    """
    try:
        return json.loads(cipher.decrypt(sealed.encode()))
    except InvalidToken:
        raise BadSecretKey(
            f"a stored secret cannot be read with this key; restore the key it was written with "
            f"({VARIABLE}, or {KEY_FILE} under PORTFOLIO_HOME)"
        ) from None
