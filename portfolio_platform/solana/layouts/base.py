"""One table per account layout, read and written through the same offsets.

A :class:`Layout` turns the published byte offsets of an account into a numpy structured dtype
(many accounts at once), and into exact Python integers (one account, including the 128-bit
fields for which numpy has no type). The same table packs bytes, so that a local chain writes
what the decoders read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

_INTEGERS: dict[str, tuple[str, int, bool]] = {
    "u8": ("u1", 1, False),
    "u16": ("<u2", 2, False),
    "u32": ("<u4", 4, False),
    "u64": ("<u8", 8, False),
    "i32": ("<i4", 4, True),
    "i64": ("<i8", 8, True),
    # V and not S: an S field strips trailing zero bytes and makes different values equal.
    "u128": ("V16", 16, False),
    "i128": ("V16", 16, True),
}
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a layout: its type name, its byte offset, and how often it repeats.

    ``type`` is one of ``u8 u16 u32 u64 i32 i64 u128 i128 key`` or a nested :class:`Layout`.
    """

    type: "str | Layout"
    offset: int
    count: int = 1

    @property
    def size(self) -> int:
        """Bytes of one element."""
        if isinstance(self.type, Layout):
            return self.type.length
        return _KEY_BYTES if self.type == "key" else _INTEGERS[self.type][1]

    @property
    def format(self) -> Any:
        """The numpy format of the field, with its repetition as a sub-array."""
        if isinstance(self.type, Layout):
            base: Any = self.type.dtype
        else:
            base = f"V{_KEY_BYTES}" if self.type == "key" else _INTEGERS[self.type][0]
        return base if self.count == 1 else (base, (self.count,))

    def read(self, data: bytes, start: int = 0) -> Any:
        """Exact value at ``start + offset``: int, 32 bytes of a key, dict, or a list of these."""
        at = start + self.offset
        values = [self._one(data, at + k * self.size) for k in range(self.count)]
        return values[0] if self.count == 1 else values

    def _one(self, data: bytes, at: int) -> Any:
        if isinstance(self.type, Layout):
            return self.type.unpack(data, at)
        raw = data[at : at + self.size]
        if self.type == "key":
            return bytes(raw)
        return int.from_bytes(raw, "little", signed=_INTEGERS[self.type][2])

    def write(self, out: bytearray, value: Any, start: int = 0) -> None:
        """Write ``value`` into ``out``; OverflowError when it does not fit."""
        values = [value] if self.count == 1 else list(value)
        if len(values) > self.count:
            raise ValueError(f"{len(values)} values for a field repeated {self.count} times")
        for k, one in enumerate(values):
            at = start + self.offset + k * self.size
            if isinstance(self.type, Layout):
                raw = self.type.pack(**one)
            elif self.type == "key":
                raw = bytes(one)
                if len(raw) != _KEY_BYTES:
                    raise ValueError(f"a key has {_KEY_BYTES} bytes, not {len(raw)}")
            else:
                raw = int(one).to_bytes(self.size, "little", signed=_INTEGERS[self.type][2])
            out[at : at + self.size] = raw


@dataclass(frozen=True)
class Layout:
    """The fixed part of an account: length, discriminator and fields by offset.

    Parameters
    ----------
    kind : str
        Name under which decoded accounts are reported, e.g. ``orca_whirlpool``.
    length : int
        Bytes of the fixed part.
    fields : mapping of str to Field
    discriminator : bytes
        The bytes at offset 0 that identify the account type; empty where a program has none.
    """

    kind: str
    length: int
    fields: Mapping[str, Field] = field(hash=False)
    discriminator: bytes = b""

    def __post_init__(self) -> None:
        for name, one in self.fields.items():
            if one.offset + one.size * one.count > self.length:
                raise ValueError(f"{self.kind}.{name} ends after {self.length} bytes")

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """Structured dtype with ``itemsize == length`` (128-bit fields as V16, keys as V32)."""
        return np.dtype(
            {
                "names": list(self.fields),
                "formats": [one.format for one in self.fields.values()],
                "offsets": [one.offset for one in self.fields.values()],
                "itemsize": self.length,
            }
        )

    def unpack(self, data: bytes, start: int = 0) -> dict[str, Any]:
        """All fields as exact values; ValueError when ``data`` is too short."""
        if len(data) - start < self.length:
            raise ValueError(f"{self.kind} needs {self.length} bytes, got {len(data) - start}")
        return {name: one.read(data, start) for name, one in self.fields.items()}

    def pack(self, **values: Any) -> bytes:
        """Bytes of an account with the discriminator set and every unnamed field zero.

        Raises
        ------
        KeyError
            For a field that the layout does not have.
        OverflowError
            For an integer that does not fit its field.
        """
        out = bytearray(self.length)
        out[: len(self.discriminator)] = self.discriminator
        for name, value in values.items():
            self.fields[name].write(out, value)
        return bytes(out)

    def patch(self, data: bytes, **values: Any) -> bytes:
        """A copy of ``data`` in which only the named fields differ."""
        out = bytearray(data)
        for name, value in values.items():
            self.fields[name].write(out, value)
        return bytes(out)

    def columns(self, accounts: Iterable[bytes]) -> npt.NDArray[np.void]:
        """Many accounts as one structured array of shape (n,), without copying a field.

        Raises
        ------
        ValueError
            When any account is not exactly ``length`` bytes long.
        """
        rows = accounts if isinstance(accounts, list) else list(accounts)
        if set(map(len, rows)) - {self.length}:
            k = next(k for k, row in enumerate(rows) if len(row) != self.length)
            raise ValueError(f"account {k} has {len(rows[k])} bytes, {self.kind} has {self.length}")
        return np.frombuffer(b"".join(rows), dtype=self.dtype)


def fields(**table: tuple[Any, ...]) -> dict[str, Field]:
    """Field table from ``name=(type, offset[, count])``."""
    return {name: Field(*entry) for name, entry in table.items()}
