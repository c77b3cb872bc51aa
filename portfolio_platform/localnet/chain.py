"""LiteSVM with what it lacks for a server: an owner index, a clock, and a note of what changed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from solders.account import Account
from solders.clock import Clock
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

SLOT_MS = 400
SLOTS_PER_EPOCH = 432_000
_SYSTEM = "11111111111111111111111111111111"


@dataclass(frozen=True)
class Sent:
    """Outcome of a transaction that LiteSVM executed."""

    metadata: TransactionMetadata
    error: object | None
    changed: frozenset[str]


class Chain:
    """Accounts, clock and slots of one local chain.

    Addresses are base58 text at this boundary. A slot that is a multiple of 97 is skipped (it has
    no block), so that clients meet skipped slots in ordinary operation.
    """

    def __init__(self, slot: int, time_ms: int) -> None:
        self.svm = LiteSVM().with_transaction_history(4096)
        self._keys: dict[str, Pubkey] = {}
        self._owner_of: dict[str, str] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._changed: set[str] = set()
        self._before: dict[str, bytes] = {}
        self._slots = [slot]
        self._times = [time_ms]
        self._rent: dict[int, int] = {}
        self._set_clock()

    @property
    def slot(self) -> int:
        """The highest slot; it never decreases."""
        return self._slots[-1]

    @property
    def time_ms(self) -> int:
        """Time of the highest slot in Unix milliseconds."""
        return self._times[-1]

    @property
    def first_slot(self) -> int:
        """The slot at which this chain's ledger begins."""
        return self._slots[0]

    @property
    def epoch(self) -> int:
        """Epoch of the highest slot."""
        return self.slot // SLOTS_PER_EPOCH

    def tick(self, slots: int, milliseconds: int) -> None:
        """Move the clock forward; both arguments are >= 0."""
        if slots < 0 or milliseconds < 0:
            raise ValueError("a chain only moves forward")
        if slots == 0 and milliseconds == 0:
            return
        self._before.clear()
        if slots == 0:
            self._times[-1] += milliseconds
        else:
            self._slots.append(self.slot + slots)
            self._times.append(self.time_ms + milliseconds)
        self._set_clock()

    def restart_at(self, slot: int) -> None:
        """Begin the ledger at another slot, at the present time; only before anything ticked."""
        if len(self._slots) != 1:
            raise ValueError("a chain that has advanced keeps its first slot")
        self._slots[0] = slot
        self._set_clock()

    def _set_clock(self) -> None:
        self.svm.warp_to_slot(self.slot)
        self.svm.set_clock(
            Clock(self.slot, self.time_ms // 1000, self.epoch, self.epoch + 1, self.time_ms // 1000)
        )

    def skipped(self, slot: int) -> bool:
        """Whether no block was made in this slot."""
        return slot % 97 == 0 and slot != self.first_slot

    def time_of(self, slot: int) -> int | None:
        """Unix milliseconds of a slot of this chain; None outside its ledger."""
        if not self.first_slot <= slot <= self.slot:
            return None
        at = bisect_right(self._slots, slot) - 1
        if self._slots[at] == slot:
            return self._times[at]
        span = self._slots[at + 1] - self._slots[at]
        part = slot - self._slots[at]
        return self._times[at] + (self._times[at + 1] - self._times[at]) * part // span

    def key(self, address: str) -> Pubkey:
        """The address as the SVM's type; ValueError when it is not a public key."""
        found = self._keys.get(address)
        if found is None:
            found = self._keys[address] = Pubkey.from_string(address)
        return found

    def rent(self, size: int) -> int:
        """Lamports that make an account of `size` bytes rent-exempt."""
        found = self._rent.get(size)
        if found is None:
            found = self._rent[size] = self.svm.minimum_balance_for_rent_exemption(size)
        return found

    def write(
        self, address: str, owner: str, data: bytes, lamports: int = 0, executable: bool = False
    ) -> None:
        """Create or replace an account; at least the rent-exempt minimum is kept in it."""
        key = self.key(address)
        if address not in self._before:
            old = self.svm.get_account(key)
            if old is not None:
                self._before[address] = old.data
        self.svm.set_account(
            key, Account(max(lamports, self.rent(len(data))), data, self.key(owner), executable)
        )
        self._index(address, owner)

    def read(self, address: str) -> Account | None:
        """The account, or None where there is none."""
        return self.svm.get_account(self.key(address))

    def data(self, address: str) -> bytes:
        """Bytes of an account that must exist; KeyError otherwise."""
        account = self.read(address)
        if account is None:
            raise KeyError(f"no account {address}")
        return bytes(account.data)

    def before(self, address: str) -> bytes | None:
        """Bytes that the account held before the last step that changed it, if any."""
        return self._before.get(address)

    def owned_by(self, owner: str) -> Iterator[tuple[str, Account]]:
        """Accounts of one program, in order of creation."""
        for address in list(self._owned.get(owner, ())):
            account = self.read(address)
            if account is not None:
                yield address, account

    def addresses(self) -> Iterable[str]:
        """Every address that this chain knows."""
        return self._owner_of.keys()

    def send(self, transaction: VersionedTransaction, keys: Iterable[str]) -> Sent:
        """Execute a signed transaction; `keys` are all its account keys, static and loaded."""
        listed = list(keys)
        before = {address: self.read(address) for address in listed}
        result = self.svm.send_transaction(transaction)
        changed = set()
        for address in listed:
            account, old = self.read(address), before[address]
            if account == old:
                continue
            changed.add(address)
            if old is not None:
                self._before[address] = old.data
            if account is None:
                self._forget(address)
            else:
                self._index(address, str(account.owner))
        if isinstance(result, FailedTransactionMetadata):
            return Sent(result.meta(), result.err(), frozenset(changed))
        return Sent(result, None, frozenset(changed))

    def take_changed(self) -> set[str]:
        """Addresses written since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def _index(self, address: str, owner: str) -> None:
        self._changed.add(address)
        known = self._owner_of.get(address)
        if known == owner:
            return
        if known is not None:
            self._owned[known].pop(address, None)
        self._owner_of[address] = owner
        self._owned.setdefault(owner, {})[address] = None

    def _forget(self, address: str) -> None:
        self._changed.add(address)
        owner = self._owner_of.pop(address, None)
        if owner is not None:
            self._owned[owner].pop(address, None)
