"""The chain's record of transactions, found by signature, by address and by slot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


class Record(Protocol):
    """A transaction that happened; rendered only when somebody asks for it."""

    @property
    def signature(self) -> str:
        """First signature, base58."""
        ...

    @property
    def slot(self) -> int:
        """Slot of the block."""
        ...

    @property
    def time_ms(self) -> int:
        """Block time in Unix milliseconds."""
        ...

    @property
    def error(self) -> Any:
        """`err` as JSON, None for success."""
        ...

    @property
    def version(self) -> int | str:
        """0 or `legacy`."""
        ...

    @property
    def addresses(self) -> list[str]:
        """Every account key, static and loaded."""
        ...

    def logs(self) -> list[str]:
        """Log messages."""
        ...

    def render(self, encoding: str) -> dict[str, Any]:
        """`transaction`, `meta` and `version` as getTransaction answers them."""
        ...


@dataclass
class TransactionLog:
    """Append-only; the order inside a slot is the order of arrival."""

    by_signature: dict[str, Record] = field(default_factory=dict)
    by_address: dict[str, list[Record]] = field(default_factory=dict)
    by_slot: dict[int, list[Record]] = field(default_factory=dict)
    _fresh: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Record a transaction; a signature can be added once."""
        if record.signature in self.by_signature:
            raise ValueError(f"signature {record.signature} is already recorded")
        self.by_signature[record.signature] = record
        self.by_slot.setdefault(record.slot, []).append(record)
        for address in record.addresses:
            self.by_address.setdefault(address, []).append(record)
        self._fresh.append(record)

    def signatures_for(
        self, address: str, *, before: str | None, until: str | None, limit: int
    ) -> list[Record]:
        """Newest first, strictly older than `before`, strictly newer than `until`."""
        records = sorted(
            self.by_address.get(address, ()), key=lambda record: record.slot, reverse=False
        )
        records.reverse()
        if before is not None:
            places = [i for i, record in enumerate(records) if record.signature == before]
            if not places:
                known = self.by_signature.get(before)
                if known is None:
                    return []
                records = [record for record in records if record.slot < known.slot]
            else:
                records = records[places[0] + 1 :]
        out: list[Record] = []
        for record in records:
            if record.signature == until or len(out) == limit:
                break
            out.append(record)
        return out

    def take_fresh(self) -> list[Record]:
        """Transactions added since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh
