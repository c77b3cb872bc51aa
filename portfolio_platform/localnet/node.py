"""One local node: chain, market, transaction log, and the view that a single call has of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solders.account import Account
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from portfolio_platform.localnet.chain import SLOT_MS, Chain
from portfolio_platform.localnet.demo import DemoChain
from portfolio_platform.localnet.errors import INVALID_REQUEST, RpcError, transaction_error_json
from portfolio_platform.localnet.faults import Fault
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.records import ExecutedTransaction, TokenBalance
from portfolio_platform.localnet.tokens import demo_keypair
from portfolio_platform.localnet.transactions import Record, TransactionLog
from portfolio_platform.solana.layouts import key_text, programs
from portfolio_platform.solana.layouts.spl_token import MINT, TOKEN_ACCOUNT

_FAUCET_LAMPORTS = 10**18
Listener = Callable[[set[str], list[Record]], None]


class Node:
    """What a server serves. `demo` is absent when only account dumps are loaded."""

    def __init__(self, chain: Chain, log: TransactionLog, demo: DemoChain | None) -> None:
        self.chain = chain
        self.log = log
        self.demo = demo
        self.dumps: list[dict[str, Any]] = []
        self.universe: dict[str, Any] = {}
        self.listeners: list[Listener] = []
        faucet = str(demo_keypair("faucet").pubkey())
        chain.write(faucet, programs.SYSTEM, b"", _FAUCET_LAMPORTS)
        chain.take_changed()

    @property
    def market(self) -> Market | None:
        """The market behind the accounts, if there is one."""
        return None if self.demo is None else self.demo.market

    def advance(self, seconds: float | None = None, slots: int | None = None) -> None:
        """Move the clock, and with it the market and its accounts."""
        if self.demo is not None:
            self.demo.advance(seconds, slots)
        else:
            if seconds is None:
                seconds = (1 if slots is None else slots) * SLOT_MS / 1000
            count = round(seconds * 1000 / SLOT_MS) if slots is None else slots
            self.chain.tick(count, round(seconds * 1000))
        self.notify()

    def notify(self) -> None:
        """Tell subscribers what changed since the last time."""
        changed, fresh = self.chain.take_changed(), self.log.take_fresh()
        for listener in list(self.listeners):
            listener(changed, fresh)

    def execute(self, transaction: VersionedTransaction) -> ExecutedTransaction:
        """Run a signed transaction in a new slot and record what it did.

        The clock moves by that slot, the market's own trades wait for the next `advance`: what a
        caller quoted on the slot before still holds.
        """
        if self.demo is not None:
            self.demo.pass_slot()
        else:
            self.chain.tick(1, SLOT_MS)
        keys = [str(key) for key in transaction.message.account_keys]
        before = {key: self.chain.read(key) for key in keys}
        sent = self.chain.send(transaction, keys)
        after = {key: self.chain.read(key) for key in keys}
        record = ExecutedTransaction(
            signature=str(transaction.signatures[0]),
            slot=self.chain.slot,
            time_ms=self.chain.time_ms,
            transaction=transaction,
            sent=sent,
            error=None if sent.error is None else transaction_error_json(sent.error),
            addresses=keys,
            lamports=(
                [_lamports(before[key]) for key in keys],
                [_lamports(after[key]) for key in keys],
            ),
            balances=self._token_balances(keys, before, after),
        )
        # A transaction that was refused before it ran (bad signature, replay) leaves no record.
        if sent.changed or sent.error is None:
            self.log.add(record)
        self.notify()
        return record

    def airdrop(self, key: Pubkey, lamports: int) -> str:
        """Transfer lamports from the faucet; returns the signature."""
        faucet = demo_keypair("faucet")
        self.chain.svm.expire_blockhash()
        instruction = transfer(
            TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=key, lamports=lamports)
        )
        message = Message.new_with_blockhash(
            [instruction], faucet.pubkey(), self.chain.svm.latest_blockhash()
        )
        record = self.execute(VersionedTransaction(message, [faucet]))
        if record.error is not None:
            raise RpcError(INVALID_REQUEST, f"airdrop failed: {record.error}")
        return record.signature

    def simulate(self, transaction: VersionedTransaction) -> Any:
        """LiteSVM's answer to a dry run."""
        return self.chain.svm.simulate_transaction(transaction)

    def _token_balances(
        self,
        keys: list[str],
        before: dict[str, Account | None],
        after: dict[str, Account | None],
    ) -> list[TokenBalance]:
        found = []
        for key in keys:
            rows = [_token_account(before[key]), _token_account(after[key])]
            known = rows[1] or rows[0]
            if known is None:
                continue
            mint = key_text(known["mint"])
            decimals = int(MINT.unpack(self.chain.data(mint))["decimals"])
            amounts = [None if row is None else int(row["amount"]) for row in rows]
            owner = key_text(known["owner"])
            found.append(TokenBalance(key, mint, owner, decimals, amounts[0], amounts[1]))
        return found


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _token_account(account: Account | None) -> dict[str, Any] | None:
    tokens = (programs.SPL_TOKEN, programs.TOKEN_2022)
    if account is None or str(account.owner) not in tokens:
        return None
    raw = bytes(account.data)
    return TOKEN_ACCOUNT.unpack(raw) if len(raw) >= TOKEN_ACCOUNT.length else None


@dataclass(frozen=True)
class View:
    """The chain as one call sees it; a fault may bend the slot or single accounts."""

    node: Node
    fault: Fault | None = None

    @property
    def slot(self) -> int:
        """Slot of the answer's context."""
        behind = self.fault.slots if self.fault and self.fault.kind == "slot_back" else 0
        return max(0, self.node.chain.slot - behind)

    def context(self) -> dict[str, Any]:
        """The `context` member."""
        return {"apiVersion": "2.3.0", "slot": self.slot}

    def account(self, address: str, *, first: bool = False) -> Account | None:
        """An account, bent where the fault names it, or is the call's `first`."""
        account = self.node.chain.read(address)
        if self.fault is None or account is None or not self.fault.concerns(address, first):
            return account
        return self.fault.bend(account, self.node.chain.before(address))
