"""Small reproducible disturbances: the same question always gets the same answer."""

from __future__ import annotations

import hashlib


def uniform(*parts: int | str) -> float:
    """A number in [0, 1) that depends on nothing but `parts`."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "little") / (1 << 48)


def symmetric(*parts: int | str) -> float:
    """A number in [-1, 1) that depends on nothing but `parts`."""
    return 2 * uniform(*parts) - 1


def signature_bytes(*parts: int | str) -> bytes:
    """64 bytes that depend on nothing but `parts`."""
    return hashlib.sha512("/".join(map(str, parts)).encode()).digest()
