"""Following the ledger of an address without losing or doubling a transaction.

Nodes list signatures in an unstable order inside a slot, repeat some, and leave some out of a
page. So the cursor is (slot, signature), every look overlaps the last one by some slots, rows are
upserted by signature, and a short page proves nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

DEFAULT_OVERLAP_SLOTS = 150


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """How far an address has been followed; ordered by slot, then signature."""

    slot: int
    signature: str = ""

    def floor(self, overlap: int = DEFAULT_OVERLAP_SLOTS) -> int:
        """The slot from which the next look begins."""
        return max(self.slot - overlap, 0)


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """One row of getSignaturesForAddress."""

    signature: str
    slot: int
    block_time: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an address found.

    Attributes
    ----------
    new : tuple of SignatureRow
        Rows not stored yet, oldest first, each signature once.
    repeated : int
        Rows that came twice in the pages.
    known : int
        Rows that were stored before (the overlap).
    cursor : Cursor
        Where to continue once ``new`` is committed, never before.
    """

    new: tuple[SignatureRow, ...]
    repeated: int
    known: int
    cursor: Cursor


def merge_look(rows: Iterable[SignatureRow], stored: Iterable[str], cursor: Cursor | None) -> Look:
    """Reduce overlapping, repeated and disordered pages to what is new.

    The cursor never moves back, whatever order the rows came in.
    """
    known = set(stored)
    unique: dict[str, SignatureRow] = {}
    repeated = 0
    for row in rows:
        if row.signature in unique:
            repeated += 1
        unique[row.signature] = row
    ordered = sorted(unique.values(), key=lambda one: (one.slot, one.signature))
    newest = max((Cursor(one.slot, one.signature) for one in ordered), default=None)
    reached = max((one for one in (newest, cursor) if one is not None), default=Cursor(0))
    fresh = tuple(one for one in ordered if one.signature not in known)
    return Look(fresh, repeated, len(ordered) - len(fresh), reached)


# -- gaps ----------------------------------------------------------------------------------------


class GapState(Enum):
    """What is known about a slot that could not be read."""

    PENDING = "pending"
    MISSING = "missing"
    SKIPPED_CONFIRMED = "skipped_confirmed"


class Claim(Enum):
    """One endpoint's answer about a slot."""

    SERVED = "served"
    SKIPPED = "skipped"
    SKIPPED_IN_STORAGE = "skipped_in_storage"
    ABSENT_FROM_BLOCKS = "absent_from_blocks"
    NOT_AVAILABLE = "not_available"
    CLEANED_UP = "cleaned_up"
    FAILED = "failed"


CLAIM_OF_CODE: Mapping[int, Claim] = {
    -32001: Claim.CLEANED_UP,
    -32004: Claim.NOT_AVAILABLE,
    -32007: Claim.SKIPPED,
    -32009: Claim.SKIPPED_IN_STORAGE,
    -32014: Claim.NOT_AVAILABLE,
}
_SKIP_CLAIMS = frozenset({Claim.SKIPPED, Claim.ABSENT_FROM_BLOCKS})
CONFIRMATIONS = 2
LOOKS_BEFORE_MISSING = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """A slot that was not served, and who says what about it.

    ``skipped`` is a claim to verify: it is confirmed only when two different endpoints (or an
    endpoint and its own list of blocks) agree. Long-term storage is patched later, so its claim
    never confirms anything. A slot that a later look serves stops being a gap, in every state.
    """

    slot: int
    state: GapState = GapState.PENDING
    claims: frozenset[tuple[str, Claim]] = field(default_factory=frozenset)
    looks: int = 0

    @property
    def open(self) -> bool:
        """Whether a backfill must look again; confirmed skips are revisited only on demand."""
        return self.state is not GapState.SKIPPED_CONFIRMED


def observe(gap: Gap, endpoint: str, claim: Claim) -> Gap | None:
    """The gap after one more answer; None when the slot was served."""
    if claim is Claim.SERVED:
        return None
    claims = gap.claims | {(endpoint, claim)}
    looks = gap.looks + 1
    skips = {one for one in claims if one[1] in _SKIP_CLAIMS}
    if len(skips) >= CONFIRMATIONS:
        state = GapState.SKIPPED_CONFIRMED
    elif claim is Claim.CLEANED_UP or looks >= LOOKS_BEFORE_MISSING:
        state = GapState.MISSING
    else:
        state = GapState.PENDING
    if gap.state is GapState.SKIPPED_CONFIRMED:
        state = gap.state
    return replace(gap, state=state, claims=claims, looks=looks)


def safe_checkpoint(start: int, served: Iterable[int], gaps: Mapping[int, Gap]) -> int:
    """Highest slot up to which every slot is served or a confirmed skip, without a hole.

    The checkpoint stays below the first pending or missing slot; moving past it would lose the
    slot for good.
    """
    done = set(served) | {slot for slot, gap in gaps.items() if not gap.open}
    at = start
    while at + 1 in done:
        at += 1
    return at


def to_revisit(gaps: Mapping[int, Gap]) -> Sequence[int]:
    """Slots that a backfill asks for again, oldest first."""
    return sorted(slot for slot, gap in gaps.items() if gap.open)
