"""Content codings: which one a client wants, the packing, and the tag of the packed bytes."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import lru_cache

import brotli

# Levels at which a hundred kilobytes of JSON take a few milliseconds.
_GZIP_LEVEL = 5
_BROTLI_QUALITY = 4
_TAG = re.compile(r'\.(?:br|gzip)"$')
_CODING = re.compile(rb"^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?$")


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _brotli(body: bytes) -> bytes:
    return brotli.compress(body, quality=_BROTLI_QUALITY)


# Best first: what a client likes equally well is answered with the smaller one.
PACKERS: dict[bytes, Callable[[bytes], bytes]] = {b"br": _brotli, b"gzip": _gzip}


@lru_cache(maxsize=256)
def chosen(accept_encoding: bytes) -> bytes | None:
    """The coding to answer with, or None for the plain bytes (RFC 9110, 12.5.3)."""
    qualities: dict[bytes, float] = {}
    for part in accept_encoding.split(b","):
        match = _CODING.match(part)
        if match:
            qualities[match[1].lower()] = 1.0 if match[2] is None else float(match[2])
    anything = qualities.get(b"*", 0.0)
    wanted = {coding: qualities.get(coding, anything) for coding in PACKERS}
    best = max(wanted, key=lambda coding: wanted[coding])
    return best if wanted[best] > 0.0 and wanted[best] >= qualities.get(b"identity", 0.0) else None


def tag_of(tag: bytes, coding: bytes) -> bytes:
    """The strong tag of packed bytes: they are another representation."""
    return tag[:-1] + b"." + coding + b'"' if tag.endswith(b'"') else tag


def plain_tag(tag: str) -> str:
    """The tag of the unpacked representation."""
    return _TAG.sub('"', tag)
