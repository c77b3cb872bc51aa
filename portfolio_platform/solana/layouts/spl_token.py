"""SPL Token and Token-2022: mints, token accounts, extensions.

Source: ``spl-token`` and ``spl-token-2022`` state structs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from portfolio_platform.solana.layouts.base import Layout, fields

MINT = Layout(
    kind="spl_mint",
    length=82,
    fields=fields(
        mint_authority_option=("u32", 0),
        mint_authority=("key", 4),
        supply=("u64", 36),
        decimals=("u8", 44),
        initialized=("u8", 45),
        freeze_authority_option=("u32", 46),
        freeze_authority=("key", 50),
    ),
)

TOKEN_ACCOUNT = Layout(
    kind="spl_token_account",
    length=165,
    fields=fields(
        mint=("key", 0),
        owner=("key", 32),
        amount=("u64", 64),
        delegate_option=("u32", 72),
        delegate=("key", 76),
        state=("u8", 108),
        native_option=("u32", 109),
        native_rent=("u64", 113),
        delegated_amount=("u64", 121),
        close_authority_option=("u32", 129),
        close_authority=("key", 133),
    ),
)

STATE_UNINITIALIZED, STATE_INITIALIZED, STATE_FROZEN = 0, 1, 2
ACCOUNT_TYPE_OFFSET = 165
ACCOUNT_TYPE_MINT, ACCOUNT_TYPE_ACCOUNT = 1, 2
EXTENSIONS_OFFSET = 166
MULTISIG_LENGTH = 355

EXTENSION_NAMES: dict[int, str] = {
    0: "uninitialized",
    1: "transfer_fee_config",
    2: "transfer_fee_amount",
    3: "mint_close_authority",
    4: "confidential_transfer_mint",
    5: "confidential_transfer_account",
    6: "default_account_state",
    7: "immutable_owner",
    8: "memo_transfer",
    9: "non_transferable",
    10: "interest_bearing_config",
    11: "cpi_guard",
    12: "permanent_delegate",
    13: "non_transferable_account",
    14: "transfer_hook",
    15: "transfer_hook_account",
    16: "confidential_transfer_fee_config",
    17: "confidential_transfer_fee_amount",
    18: "metadata_pointer",
    19: "token_metadata",
    20: "group_pointer",
    21: "token_group",
    22: "group_member_pointer",
    23: "token_group_member",
    24: "confidential_mint_burn",
    25: "scaled_ui_amount",
    26: "pausable",
    27: "pausable_account",
}

TRANSFER_FEE_CONFIG = Layout(
    kind="transfer_fee_config",
    length=108,
    fields=fields(
        config_authority=("key", 0),
        withdraw_authority=("key", 32),
        withheld_amount=("u64", 64),
        older_epoch=("u64", 72),
        older_maximum_fee=("u64", 80),
        older_basis_points=("u16", 88),
        newer_epoch=("u64", 90),
        newer_maximum_fee=("u64", 98),
        newer_basis_points=("u16", 106),
    ),
)

INTEREST_BEARING_CONFIG = Layout(
    kind="interest_bearing_config",
    length=52,
    fields=fields(
        rate_authority=("key", 0),
        initialization_timestamp=("i64", 32),
        last_update_timestamp=("i64", 42),
    ),
)
# i16 fields of the struct; the layout table has no 16-bit signed type.
INTEREST_PRE_UPDATE_RATE_OFFSET = 40
INTEREST_CURRENT_RATE_OFFSET = 50


class MalformedExtensions(ValueError):
    """The type-length-value area of a Token-2022 account does not add up."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One type-length-value entry."""

    type: int
    value: bytes

    @property
    def name(self) -> str:
        """Published name, or ``unknown_<type>`` for a type newer than this table."""
        return EXTENSION_NAMES.get(self.type, f"unknown_{self.type}")


def read_extensions(data: bytes) -> Iterator[Extension]:
    """Extensions of a Token-2022 mint or account, in the order of the bytes.

    Raises
    ------
    MalformedExtensions
        When a value would end after the account does.
    """
    at = EXTENSIONS_OFFSET
    while at + 2 <= len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        if kind == 0:
            return
        if at + 4 > len(data):
            raise MalformedExtensions(f"extension type {kind} at byte {at} has no length")
        length = int.from_bytes(data[at + 2 : at + 4], "little")
        if at + 4 + length > len(data):
            raise MalformedExtensions(
                f"extension type {kind} at byte {at} says {length} bytes, "
                f"{len(data) - at - 4} are left"
            )
        yield Extension(kind, bytes(data[at + 4 : at + 4 + length]))
        at += 4 + length


def pack_extensions(base: bytes, account_type: int, extensions: list[Extension]) -> bytes:
    """A mint or token account of Token-2022 with extensions behind its base bytes."""
    out = bytearray(base.ljust(ACCOUNT_TYPE_OFFSET, b"\0"))
    out.append(account_type)
    for one in extensions:
        out += struct.pack("<HH", one.type, len(one.value)) + one.value
    return bytes(out)
