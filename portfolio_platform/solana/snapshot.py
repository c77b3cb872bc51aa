"""One coherent look at every account of a universe.

Two stages. The first reads the listed accounts to find what they depend on; nothing of it is
stored. The second reads every group (an anchor with all its dependencies) in one
getMultipleAccounts call, so that a pool, its vaults, its mints and its oracles share one slot.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from portfolio_platform.solana.decode import decode
from portfolio_platform.solana.decoded import Decoded, Refused
from portfolio_platform.solana.discovery import Dependencies, dependencies
from portfolio_platform.solana.layouts import is_key, key_bytes, programs
from portfolio_platform.solana.rpc import KEYS_PER_REQUEST, RpcPool
from portfolio_platform.solana.rpc.replies import FetchedAccount
from portfolio_platform.solana.universe import Universe

_KEYS_WITH_CLOCK = KEYS_PER_REQUEST - 1
_REREADS = 2


class IncoherentSnapshot(RuntimeError):
    """Accounts that must share a slot do not."""


@lru_cache(maxsize=8192)
def _decode_once(owner: str | None, data: bytes) -> Decoded | Refused:
    """The same bytes are asked for by prices, pools and holdings; the answer is read-only."""
    return decode(owner, data)


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """The bytes of one account at one slot, as the network gave them.

    ``error`` is None for a readable account; otherwise it says why there are no (whole) bytes.
    """

    pubkey: str
    owner: str | None
    lamports: int | None
    data: bytes
    sha256: str
    slot: int
    error: str | None = None

    def decode(self) -> Decoded | Refused:
        """Values of the bytes, or the reason for having none."""
        if self.error is not None:
            return Refused(f"{self.pubkey}: {self.error}", "empty")
        answer = _decode_once(self.owner, self.data)
        if isinstance(answer, Refused):
            return Refused(f"{self.pubkey}: {answer.reason}", answer.code, answer.kind)
        return answer


@dataclass(frozen=True, slots=True)
class Group:
    """An anchor and its dependencies, read in one call."""

    anchor: str
    keys: tuple[str, ...]
    optional: frozenset[str]
    slot: int


@dataclass(frozen=True)
class Snapshot:
    """All accounts of a universe.

    Attributes
    ----------
    slot : int
        Newest slot of the calls.
    oldest_slot : int
        Oldest slot of the calls; equal to ``slot`` when everything fitted into one.
    block_time : datetime
        UTC time of ``slot``.
    epoch : int or None
        Epoch of the clock account, where the chain has one.
    accounts : tuple of AccountRecord
        One per (pubkey, slot); shared mints and oracles may stand here once per call.
    groups : mapping of str to Group
    """

    slot: int
    oldest_slot: int
    block_time: datetime
    epoch: int | None
    accounts: tuple[AccountRecord, ...]
    groups: Mapping[str, Group] = field(default_factory=dict)

    def get(self, pubkey: str, slot: int | None = None) -> AccountRecord | None:
        """The record of an account at ``slot``, or its newest one."""
        found = [one for one in self._by_key.get(pubkey, ()) if slot is None or one.slot == slot]
        return max(found, key=lambda one: one.slot, default=None)

    def group(self, anchor: str) -> dict[str, AccountRecord]:
        """Records of a group by pubkey, all of one slot; IncoherentSnapshot when they are not."""
        group = self.groups[anchor]
        records = {}
        for key in group.keys:
            record = self.get(key, group.slot)
            if record is None:
                raise IncoherentSnapshot(f"{key} of {anchor} was not read at slot {group.slot}")
            records[key] = record
        return records

    def require_spread(self, limit: int) -> None:
        """IncoherentSnapshot when the calls lie more than ``limit`` slots apart."""
        if self.slot - self.oldest_slot > limit:
            raise IncoherentSnapshot(
                f"slots {self.oldest_slot} to {self.slot} are more than {limit} apart"
            )

    @property
    def _by_key(self) -> Mapping[str, list[AccountRecord]]:
        index = self.__dict__.get("_index")
        if index is None:
            index = {}
            for one in self.accounts:
                index.setdefault(one.pubkey, []).append(one)
            self.__dict__["_index"] = index
        return index

    @property
    def metadata(self) -> dict[str, Any]:
        """What is worth showing about it."""
        broken = [one for one in self.accounts if one.error is not None]
        return {
            "slot": self.slot,
            "slot_spread": self.slot - self.oldest_slot,
            "block_time": self.block_time.isoformat(),
            "accounts": len(self.accounts),
            "bytes": sum(len(one.data) for one in self.accounts),
            "unreadable": len(broken),
        }


async def snapshot_chunks(
    pool: RpcPool,
    universe: Universe | Iterable[str],
    *,
    min_context_slot: int | None = None,
) -> AsyncIterator[Snapshot]:
    """Read a universe (or bare keys) call by call; each chunk is one slot and whole groups.

    A caller that lands every chunk before it asks for the next holds the bytes of at most 100
    accounts, however large the universe is.

    Raises
    ------
    InvalidPubkey
        Before any request, for a key that is nonsense.
    RpcError
        When the network gives no answer before the deadline.
    """
    anchors, wallets = _anchors(universe)
    if not anchors:
        raise ValueError("the universe lists no account")
    await _discover_wallets(pool, wallets, anchors)
    found = await _discover(pool, list(anchors), min_context_slot)
    for key, needs in found.items():
        anchors[key] = _merged(anchors.get(key, Dependencies()), needs)
    known = frozenset(found)
    for packed in _pack(anchors):
        keys = list(dict.fromkeys(key for _, one in packed for key in one))
        slot, accounts, clock = await _read(pool, keys, known, min_context_slot)
        block_time, epoch = await _date(pool, slot, clock)
        yield Snapshot(
            slot=slot,
            oldest_slot=slot,
            block_time=block_time,
            epoch=epoch,
            accounts=tuple(
                _record(key, slot, account) for key, account in zip(keys, accounts, strict=True)
            ),
            groups={
                anchor: Group(anchor, members, frozenset(anchors[anchor].optional), slot)
                for anchor, members in packed
            },
        )


async def fetch_snapshot(
    pool: RpcPool,
    universe: Universe | Iterable[str],
    *,
    min_context_slot: int | None = None,
) -> Snapshot:
    """Read a universe (or bare keys) into one snapshot; see :func:`snapshot_chunks`."""
    chunks = [
        chunk async for chunk in snapshot_chunks(pool, universe, min_context_slot=min_context_slot)
    ]
    newest = max(chunks, key=lambda chunk: chunk.slot)
    return Snapshot(
        slot=newest.slot,
        oldest_slot=min(chunk.slot for chunk in chunks),
        block_time=newest.block_time,
        epoch=newest.epoch,
        # An account that two groups share stands once per slot.
        accounts=tuple(
            {(one.pubkey, one.slot): one for chunk in chunks for one in chunk.accounts}.values()
        ),
        groups={anchor: group for chunk in chunks for anchor, group in chunk.groups.items()},
    )


def _anchors(universe: Universe | Iterable[str]) -> tuple[dict[str, Dependencies], list[str]]:
    if not isinstance(universe, Universe):
        keys = list(dict.fromkeys(universe))
        for key in keys:
            key_bytes(key)
        return {key: Dependencies() for key in keys}, []
    anchors = {one.pubkey: Dependencies() for one in universe.accounts}
    mints = [one.mint for one in universe.tokens if is_key(one.mint)]
    anchors |= {mint: Dependencies() for mint in mints if mint not in anchors}
    return anchors, [one.pubkey for one in universe.by_role("wallet")]


def _merged(left: Dependencies, right: Dependencies) -> Dependencies:
    required = tuple(dict.fromkeys(left.required + right.required))
    optional = tuple(
        key for key in dict.fromkeys(left.optional + right.optional) if key not in required
    )
    return Dependencies(required, optional)


async def _discover_wallets(
    pool: RpcPool, wallets: Sequence[str], anchors: dict[str, Dependencies]
) -> None:
    """Make every token account of a wallet a dependency of the wallet."""
    for wallet in wallets:
        found: list[str] = []
        for program in (programs.SPL_TOKEN, programs.TOKEN_2022):
            answer = await pool.call(
                "getTokenAccountsByOwner",
                [
                    wallet,
                    {"programId": program},
                    {
                        "encoding": "base64",
                        "commitment": pool.settings.commitment,
                        # Only the keys are wanted here; the bytes are read coherently later.
                        "dataSlice": {"offset": 0, "length": 0},
                    },
                ],
            )
            entries = answer.get("value") if isinstance(answer, dict) else None
            for entry in entries or ():
                key = entry.get("pubkey") if isinstance(entry, dict) else None
                if is_key(key):
                    found.append(str(key))
        if len(found) < _KEYS_WITH_CLOCK:
            anchors[wallet] = Dependencies(tuple(sorted(found)))
        else:
            # More accounts than one call can carry: each stands alone, at the slot of its call.
            anchors |= {key: Dependencies() for key in found if key not in anchors}


async def _discover(
    pool: RpcPool, keys: Sequence[str], min_context_slot: int | None
) -> dict[str, Dependencies]:
    """First stage: what each readable listed account depends on."""
    found: dict[str, Dependencies] = {}
    for start in range(0, len(keys), KEYS_PER_REQUEST):
        chunk = list(keys[start : start + KEYS_PER_REQUEST])
        _, accounts = await pool.get_multiple_accounts(chunk, min_context_slot=min_context_slot)
        for key, account in zip(chunk, accounts, strict=True):
            if account.error is not None:
                continue
            decoded = decode(account.owner, account.data)
            found[key] = (
                dependencies(key, decoded) if isinstance(decoded, Decoded) else Dependencies()
            )
    return found


def _pack(anchors: Mapping[str, Dependencies]) -> list[list[tuple[str, tuple[str, ...]]]]:
    """Groups into calls; no group is ever split."""
    calls: list[list[tuple[str, tuple[str, ...]]]] = []
    current: list[tuple[str, tuple[str, ...]]] = []
    keys: set[str] = set()
    largest_first = sorted(anchors.items(), key=lambda item: (-len(item[1].all), item[0]))
    for anchor, needs in largest_first:
        members = tuple(dict.fromkeys((anchor, *needs.all)))
        if len(members) > _KEYS_WITH_CLOCK:
            raise IncoherentSnapshot(f"{anchor} depends on more accounts than one call can read")
        if current and len(keys | set(members)) > _KEYS_WITH_CLOCK:
            calls.append(current)
            current, keys = [], set()
        current.append((anchor, members))
        keys |= set(members)
    return [*calls, current] if current else calls


async def _read(
    pool: RpcPool, keys: Sequence[str], known: frozenset[str], min_context_slot: int | None
) -> tuple[int, list[FetchedAccount], bytes]:
    """One call for a set of groups, with the clock of the same bank.

    An account that existed a moment ago and is now absent is read again: nodes sometimes answer
    null for what exists.
    """
    for attempt in range(_REREADS + 1):
        slot, accounts = await pool.get_multiple_accounts(
            [*keys, programs.CLOCK], min_context_slot=min_context_slot
        )
        *wanted, clock = accounts
        vanished = [
            key
            for key, account in zip(keys, wanted, strict=True)
            if account.error is not None and key in known
        ]
        if not vanished or attempt == _REREADS:
            break
    return slot, list(wanted), clock.data if clock.error is None else b""


def _record(key: str, slot: int, account: FetchedAccount) -> AccountRecord:
    return AccountRecord(
        pubkey=key,
        owner=account.owner,
        lamports=account.lamports,
        data=account.data,
        sha256=hashlib.sha256(account.data).hexdigest(),
        slot=slot,
        error=account.error,
    )


async def _date(pool: RpcPool, slot: int, clock: bytes) -> tuple[datetime, int | None]:
    """Time of a slot: from the clock read with the accounts, else from getBlockTime."""
    answer = decode(programs.SYSVAR_OWNER, clock)
    if isinstance(answer, Decoded) and answer.values["unix_timestamp"] > 0:
        values = answer.values
        return datetime.fromtimestamp(values["unix_timestamp"], UTC), values["epoch"]
    seconds = await pool.get_block_time(slot)
    if seconds is None or seconds <= 0:
        raise IncoherentSnapshot(f"the network does not say when slot {slot} was")
    return datetime.fromtimestamp(seconds, UTC), None
