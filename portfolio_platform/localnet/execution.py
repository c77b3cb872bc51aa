"""Executing the trades of a reallocation: real token transfers between wallet and vaults."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from portfolio_platform.localnet.demo import DemoChain
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.tokens import SOL_MINT, DemoToken
from portfolio_platform.localnet.venues import DemoPool
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.layouts.addresses import associated_token_account

_TOKEN = Pubkey.from_string(programs.SPL_TOKEN)


class Step(BaseModel):
    """One trade: sell `amount_in` of `mint_in` to the pool for `amount_out`.

    Without `amount_out` the wallet receives what the pool quotes. When the pool now gives less
    than `amount_out` but at least `min_out`, the wallet receives what it gives.
    """

    model_config = ConfigDict(extra="ignore")

    pool: str
    mint_in: str
    amount_in: int = Field(gt=0, lt=2**64)
    amount_out: int | None = Field(default=None, gt=0, lt=2**64)
    min_out: int | None = Field(default=None, ge=0, lt=2**64)


class ExecuteRequest(BaseModel):
    """Body of POST /execute; the steps run in order, each in its own transaction."""

    model_config = ConfigDict(extra="forbid")

    steps: list[Step] = Field(min_length=1)


class ExecutionRefused(Exception):
    """A step cannot run; `applied` are the steps before it that did."""

    def __init__(self, place: int, reason: str, detail: str, applied: list[dict[str, Any]]) -> None:
        self.place, self.reason, self.detail, self.applied = place, reason, detail, applied
        super().__init__(f"step {place}: {reason}: {detail}")

    def body(self) -> dict[str, Any]:
        """What the server answers."""
        return {
            "step": self.place,
            "reason": self.reason,
            "detail": self.detail,
            "applied": self.applied,
        }


def execute(node: Node, request: ExecuteRequest) -> dict[str, Any]:
    """Run the steps against the demo pools, all of them or none.

    They are rehearsed first, on copies of the pools and the wallet's balances: a plan whose market
    has moved away is refused before anything moves.

    Raises
    ------
    ExecutionRefused
        At the first step that cannot run.
    """
    demo = node.demo
    if demo is None:
        raise ExecutionRefused(0, "no_market", "this local chain has no demo pools", [])
    _rehearse(node, demo, request.steps)
    pools = {pool.address: pool for pool in demo.pools}
    applied: list[dict[str, Any]] = []
    for place, step in enumerate(request.steps):
        pool = pools[step.pool]
        received = _received(place, step, pool, applied)
        applied.append(_swap(node, demo, pool, step, received, place, applied))
    return {"slot": node.chain.slot, "steps": applied}


def _rehearse(node: Node, demo: DemoChain, steps: list[Step]) -> None:
    pools = {pool.address: pool.rehearsal() for pool in demo.pools}
    held: dict[str, int] = {}
    for place, step in enumerate(steps):
        pool = pools.get(step.pool)
        if pool is None:
            raise ExecutionRefused(place, "unknown_pool", step.pool, [])
        if step.mint_in not in (pool.token_a.mint, pool.token_b.mint):
            raise ExecutionRefused(place, "unknown_mint", step.mint_in, [])
        selling_a = step.mint_in == pool.token_a.mint
        sold, bought = (pool.token_a, pool.token_b)[:: 1 if selling_a else -1]
        for token in (sold, bought):
            held.setdefault(token.mint, _balance(node, demo, token))
        received = _received(place, step, pool, [])
        if step.amount_in > held[sold.mint]:
            detail = f"the wallet holds {held[sold.mint]} of {sold.mint}, not {step.amount_in}"
            raise ExecutionRefused(place, "insufficient_funds", detail, [])
        held[sold.mint] -= step.amount_in
        held[bought.mint] += received
        pool.settle(step.mint_in, step.amount_in, received)


def _balance(node: Node, demo: DemoChain, token: DemoToken) -> int:
    """Base units that the wallet holds; SOL is native."""
    wallet = demo.wallet.pubkey()
    if token.mint == SOL_MINT:
        account = node.chain.read(str(wallet))
        return 0 if account is None else account.lamports
    address = _ata(wallet, token)
    return 0 if node.chain.read(address) is None else demo.ledger.balance(address)


def _received(place: int, step: Step, pool: DemoPool, applied: list[dict[str, Any]]) -> int:
    available = pool.quote(step.mint_in, step.amount_in)
    wanted = available if step.amount_out is None else step.amount_out
    if wanted > available:
        if step.min_out is None or available < step.min_out:
            detail = f"the pool gives {available}, the step wants {wanted}"
            raise ExecutionRefused(place, "slippage", detail, applied)
        wanted = available
    if wanted <= 0:
        raise ExecutionRefused(place, "dust", "the pool gives nothing for this input", applied)
    return wanted


def _swap(
    node: Node,
    demo: DemoChain,
    pool: DemoPool,
    step: Step,
    received: int,
    place: int,
    applied: list[dict[str, Any]],
) -> dict[str, Any]:
    selling_a = step.mint_in == pool.token_a.mint
    sold, bought = (pool.token_a, pool.token_b)[:: 1 if selling_a else -1]
    vault_in, vault_out = (pool.vault_a, pool.vault_b)[:: 1 if selling_a else -1]
    wallet, authority = demo.wallet, pool.authority
    instructions = [
        *_prepare(wallet.pubkey(), sold, step.amount_in),
        *_prepare(wallet.pubkey(), bought, 0),
        _transfer(_ata(wallet.pubkey(), sold), vault_in, sold, wallet.pubkey(), step.amount_in),
        _transfer(vault_out, _ata(wallet.pubkey(), bought), bought, authority.pubkey(), received),
    ]
    if SOL_MINT in (sold.mint, bought.mint):
        wrapped = sold if sold.mint == SOL_MINT else bought
        instructions.append(_close(_ata(wallet.pubkey(), wrapped), wallet.pubkey()))
    node.chain.svm.expire_blockhash()
    message = Message.new_with_blockhash(
        instructions, wallet.pubkey(), node.chain.svm.latest_blockhash()
    )
    record = node.execute(VersionedTransaction(message, [wallet, authority]))
    if record.error is not None:
        raise ExecutionRefused(place, "transaction_failed", str(record.error), applied)
    pool.settle(step.mint_in, step.amount_in, received)
    node.notify()
    return {
        "signature": record.signature,
        "slot": record.slot,
        "pool": pool.address,
        "mint_in": sold.mint,
        "mint_out": bought.mint,
        "amount_in": str(step.amount_in),
        "amount_out": str(received),
        "fee_lamports": record.sent.metadata.fee(),
    }


def _ata(owner: Pubkey, token: DemoToken) -> str:
    return associated_token_account(str(owner), token.mint)


def _meta(key: str | Pubkey, *, writable: bool = False, signer: bool = False) -> AccountMeta:
    return AccountMeta(Pubkey.from_string(key) if isinstance(key, str) else key, signer, writable)


def _prepare(owner: Pubkey, token: DemoToken, lamports: int) -> list[Instruction]:
    """Make sure the wallet's token account exists; wrap `lamports` where the token is SOL."""
    account = _ata(owner, token)
    accounts = [
        _meta(owner, writable=True, signer=True),
        _meta(account, writable=True),
        _meta(owner),
        _meta(token.mint),
        _meta(programs.SYSTEM),
        _meta(programs.SPL_TOKEN),
    ]
    program = Pubkey.from_string(programs.ASSOCIATED_TOKEN)
    made = [Instruction(program, b"\x01", accounts)]
    if token.mint == SOL_MINT and lamports:
        target = Pubkey.from_string(account)
        made.append(
            transfer(TransferParams(from_pubkey=owner, to_pubkey=target, lamports=lamports))
        )
        made.append(Instruction(_TOKEN, b"\x11", [_meta(account, writable=True)]))
    return made


def _transfer(
    source: str, target: str, token: DemoToken, owner: Pubkey, amount: int
) -> Instruction:
    """TransferChecked."""
    data = b"\x0c" + amount.to_bytes(8, "little") + bytes([token.decimals])
    accounts = [
        _meta(source, writable=True),
        _meta(token.mint),
        _meta(target, writable=True),
        _meta(owner, signer=True),
    ]
    return Instruction(_TOKEN, data, accounts)


def _close(account: str, owner: Pubkey) -> Instruction:
    """CloseAccount: whatever SOL is left wrapped becomes native again."""
    accounts = [
        _meta(account, writable=True),
        _meta(owner, writable=True),
        _meta(owner, signer=True),
    ]
    return Instruction(_TOKEN, b"\x09", accounts)
