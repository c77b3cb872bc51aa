"""Transactions as getTransaction shows them: swaps of the demo market and executed ones."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageAddressTableLookup, MessageHeader, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from portfolio_platform.localnet.chain import Sent
from portfolio_platform.localnet.tokens import demo_key
from portfolio_platform.solana.layouts import programs

BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_COMPUTE_BUDGET = "ComputeBudget111111111111111111111111111111"
_ANCHOR_SWAP = bytes.fromhex("f8c69e91e17587c8")
_BASE_FEE = 5_000
_TOKEN_ACCOUNT_RENT = 2_039_280


def base58(raw: bytes) -> str:
    """Base58 text of any bytes."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58_ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def ui_amount(amount: int, decimals: int) -> dict[str, Any]:
    """The four ways in which a token amount is written in a transaction's meta."""
    value = Decimal(amount).scaleb(-decimals)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": float(value) if amount else None,
        "uiAmountString": text,
    }


@dataclass(frozen=True)
class TokenBalance:
    """A token account before and after a transaction; None where it did not exist."""

    address: str
    mint: str
    owner: str
    decimals: int
    before: int | None
    after: int | None

    def row(self, index: int, amount: int) -> dict[str, Any]:
        """One entry of pre- or postTokenBalances."""
        return {
            "accountIndex": index,
            "mint": self.mint,
            "owner": self.owner,
            "programId": programs.SPL_TOKEN,
            "uiTokenAmount": ui_amount(amount, self.decimals),
        }


def token_rows(balances: list[TokenBalance], keys: list[str], *, after: bool) -> list[Any]:
    """Pre- or postTokenBalances, ordered by account index."""
    rows = []
    for one in balances:
        amount = one.after if after else one.before
        if amount is not None:
            rows.append(one.row(keys.index(one.address), amount))
    return sorted(rows, key=lambda row: row["accountIndex"])


def message_json(message: Message | MessageV0) -> dict[str, Any]:
    """A message in `json` encoding."""
    header = message.header
    out: dict[str, Any] = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": one.program_id_index,
                "accounts": list(one.accounts),
                "data": base58(bytes(one.data)),
                "stackHeight": None,
            }
            for one in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        out["addressTableLookups"] = [
            {
                "accountKey": str(one.account_key),
                "writableIndexes": list(one.writable_indexes),
                "readonlyIndexes": list(one.readonly_indexes),
            }
            for one in message.address_table_lookups
        ]
    return out


def transaction_json(transaction: VersionedTransaction, encoding: str) -> Any:
    """A transaction in `json`, `base58` or `base64` encoding."""
    if encoding == "base64":
        return [base64.b64encode(bytes(transaction)).decode(), "base64"]
    if encoding == "base58":
        return [base58(bytes(transaction)), "base58"]
    return {
        "signatures": [str(signature) for signature in transaction.signatures],
        "message": message_json(transaction.message),
    }


@dataclass(frozen=True)
class MarketSwap:
    """A trade of the demo market in one pool; `error` keeps a failed one without effect.

    `balances` are, in order: trader's source, trader's target, pool's vault in, pool's vault out.
    """

    signature: str
    slot: int
    time_ms: int
    program: str
    pool: str
    authority: str
    trader: str
    balances: tuple[TokenBalance, TokenBalance, TokenBalance, TokenBalance]
    amount_in: int
    amount_out: int
    error: Any = None
    version: int | str = 0

    @property
    def addresses(self) -> list[str]:
        source, target, vault_in, vault_out = (one.address for one in self.balances)
        static = [self.trader, source, target]
        pool_side = [self.pool, vault_in, vault_out]
        fixed = [programs.SPL_TOKEN, self.program, _COMPUTE_BUDGET]
        shared = [] if self.authority == self.pool else [self.authority]
        if self.version == "legacy":
            return static + pool_side + fixed + shared
        return static + fixed + pool_side + shared

    def _static(self) -> int:
        return len(self.addresses) if self.version == "legacy" else 6

    def _transaction(self) -> VersionedTransaction:
        keys = self.addresses
        place = {key: i for i, key in enumerate(keys)}
        source, target, vault_in, vault_out = (place[one.address] for one in self.balances)
        accounts = [place[programs.SPL_TOKEN], 0, place[self.pool], source, vault_in]
        accounts += [target, vault_out, place[self.authority]]
        amount, minimum = self.amount_in, self.amount_out * 995 // 1000
        words = amount.to_bytes(8, "little") + minimum.to_bytes(8, "little")
        if self.program == programs.RAYDIUM_AMM_V4:
            data = b"\x09" + words
        else:
            data = _ANCHOR_SWAP + words + bytes(16) + b"\x01\x01"
        budget = b"\x02" + (200_000).to_bytes(4, "little")
        instructions = [
            CompiledInstruction(place[_COMPUTE_BUDGET], budget, b""),
            CompiledInstruction(place[self.program], data, bytes(accounts)),
        ]
        static = [Pubkey.from_string(key) for key in keys[: self._static()]]
        blockhash = Hash(bytes(demo_key("blockhash", str(self.slot))))
        shared = 0 if self.authority == self.pool else 1
        readonly = 3 + (shared if self.version == "legacy" else 0)
        header = MessageHeader(1, 0, readonly)
        if self.version == "legacy":
            message: Message | MessageV0 = Message.new_with_compiled_instructions(
                1, 0, readonly, static, blockhash, instructions
            )
        else:
            table = demo_key("lookup table", self.pool)
            lookup = MessageAddressTableLookup(table, bytes([0, 1, 2]), bytes([3] * shared))
            message = MessageV0(header, static, blockhash, instructions, [lookup])
        signature = Signature.from_string(self.signature)
        return VersionedTransaction.populate(message, [signature])

    def logs(self) -> list[str]:
        """Log messages of a swap through one pool."""
        token = programs.SPL_TOKEN
        name = "Swap"
        lines = [
            f"Program {_COMPUTE_BUDGET} invoke [1]",
            f"Program {_COMPUTE_BUDGET} success",
            f"Program {self.program} invoke [1]",
            f"Program log: Instruction: {name}",
        ]
        if self.error is not None:
            code = self.error["InstructionError"][1]["Custom"]
            return [*lines, f"Program {self.program} failed: custom program error: 0x{code:x}"]
        for _ in range(2):
            lines += [
                f"Program {token} invoke [2]",
                "Program log: Instruction: Transfer",
                f"Program {token} consumed 4645 of 150000 compute units",
                f"Program {token} success",
            ]
        return [
            *lines,
            f"Program {self.program} consumed 48210 of 200000 compute units",
            f"Program {self.program} success",
        ]

    def _inner(self) -> list[dict[str, Any]]:
        if self.error is not None:
            return []
        keys = self.addresses
        token = keys.index(programs.SPL_TOKEN)
        source, target, vault_in, vault_out = (keys.index(one.address) for one in self.balances)
        signer = keys.index(self.authority)
        legs = (
            ([source, vault_in, 0], self.amount_in),
            ([vault_out, target, signer], self.amount_out),
        )
        return [
            {
                "index": 1,
                "instructions": [
                    {
                        "programIdIndex": token,
                        "accounts": accounts,
                        "data": base58(b"\x03" + amount.to_bytes(8, "little")),
                        "stackHeight": 2,
                    }
                    for accounts, amount in legs
                ],
            }
        ]

    def _lamports(self, *, after: bool) -> list[int]:
        held = {}
        for one in self.balances:
            amount = one.after if after else one.before
            wrapped = one.mint == programs.WRAPPED_SOL
            held[one.address] = _TOKEN_ACCOUNT_RENT + ((amount or 0) if wrapped else 0)
        trader = 5_000_000_000 - (_BASE_FEE if after else 0)
        return [
            held.get(key, trader if key == self.trader else 5_435_760) for key in self.addresses
        ]

    def render(self, encoding: str) -> dict[str, Any]:
        """`transaction`, `meta` and `version`."""
        keys, static = self.addresses, self._static()
        balances = list(self.balances)
        loaded = {"writable": keys[static : static + 3], "readonly": keys[static + 3 :]}
        if self.version == "legacy":
            loaded = {"writable": [], "readonly": []}
        meta = {
            "err": self.error,
            "status": {"Ok": None} if self.error is None else {"Err": self.error},
            "fee": _BASE_FEE,
            "computeUnitsConsumed": 48_360,
            "innerInstructions": self._inner(),
            "logMessages": self.logs(),
            "loadedAddresses": loaded,
            "preBalances": self._lamports(after=False),
            "postBalances": self._lamports(after=True),
            "preTokenBalances": token_rows(balances, keys, after=False),
            "postTokenBalances": token_rows(balances, keys, after=True),
            "rewards": [],
        }
        return {
            "transaction": transaction_json(self._transaction(), encoding),
            "meta": meta,
            "version": self.version,
        }


@dataclass(frozen=True)
class ExecutedTransaction:
    """A transaction that LiteSVM ran."""

    signature: str
    slot: int
    time_ms: int
    transaction: VersionedTransaction
    sent: Sent
    error: Any
    addresses: list[str]
    lamports: tuple[list[int], list[int]]
    balances: list[TokenBalance]

    @property
    def version(self) -> int | str:
        return 0 if isinstance(self.transaction.message, MessageV0) else "legacy"

    def logs(self) -> list[str]:
        """Log messages of the run."""
        return list(self.sent.metadata.logs())

    def render(self, encoding: str) -> dict[str, Any]:
        """`transaction`, `meta` and `version`."""
        metadata = self.sent.metadata
        inner = [
            {
                "index": index,
                "instructions": [
                    {
                        "programIdIndex": one.instruction().program_id_index,
                        "accounts": list(one.instruction().accounts),
                        "data": base58(bytes(one.instruction().data)),
                        "stackHeight": one.stack_height(),  # type: ignore[attr-defined]
                    }
                    for one in group
                ],
            }
            for index, group in enumerate(metadata.inner_instructions())
            if group
        ]
        meta = {
            "err": self.error,
            "status": {"Ok": None} if self.error is None else {"Err": self.error},
            "fee": metadata.fee(),
            "computeUnitsConsumed": metadata.compute_units_consumed(),
            "innerInstructions": inner,
            "logMessages": self.logs(),
            "loadedAddresses": {"writable": [], "readonly": []},
            "preBalances": self.lamports[0],
            "postBalances": self.lamports[1],
            "preTokenBalances": token_rows(self.balances, self.addresses, after=False),
            "postTokenBalances": token_rows(self.balances, self.addresses, after=True),
            "rewards": [],
        }
        return {
            "transaction": transaction_json(self.transaction, encoding),
            "meta": meta,
            "version": self.version,
        }
