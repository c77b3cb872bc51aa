"""RPC methods that read accounts."""

from __future__ import annotations

from typing import Any

from portfolio_platform.localnet.encoding import (
    account_json,
    matches,
    parse_filters,
    parse_key,
)
from portfolio_platform.localnet.errors import INVALID_PARAMS, RpcError, invalid
from portfolio_platform.localnet.node import View
from portfolio_platform.localnet.records import ui_amount
from portfolio_platform.localnet.rpc_params import Params
from portfolio_platform.solana.layouts import key_bytes, key_text, programs
from portfolio_platform.solana.layouts.spl_token import MINT, TOKEN_ACCOUNT

MAX_KEYS = 100
_TOKEN_PROGRAMS = (programs.SPL_TOKEN, programs.TOKEN_2022)


def get_account_info(view: View, params: Params) -> Any:
    account = view.account(parse_key(params.required(0, "pubkey")), first=True)
    value = None if account is None else account_json(account, params.config(1))
    return {"context": view.context(), "value": value}


def get_multiple_accounts(view: View, params: Params) -> Any:
    keys = params.required(0, "pubkeys")
    if not isinstance(keys, list):
        raise invalid("expected a list of public keys")
    if len(keys) > MAX_KEYS:
        raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {MAX_KEYS}")
    config = params.config(1)
    values: list[Any] = []
    for place, key in enumerate(keys):
        account = view.account(parse_key(key), first=place == 0)
        values.append(None if account is None else account_json(account, config))
    return {"context": view.context(), "value": values}


def get_balance(view: View, params: Params) -> Any:
    account = view.account(parse_key(params.required(0, "pubkey")), first=True)
    return {"context": view.context(), "value": 0 if account is None else account.lamports}


def get_program_accounts(view: View, params: Params) -> Any:
    program = parse_key(params.required(0, "program id"))
    config = params.config(1)
    filters = parse_filters(config)
    rows: list[dict[str, Any]] = []
    for address, account in view.node.chain.owned_by(program):
        if matches(bytes(account.data), filters):
            seen = view.account(address, first=not rows)
            if seen is not None:
                rows.append({"pubkey": address, "account": account_json(seen, config)})
    return {"context": view.context(), "value": rows} if config.get("withContext") else rows


def get_token_accounts_by_owner(view: View, params: Params) -> Any:
    owner = key_bytes(parse_key(params.required(0, "owner")))
    wanted = params.required(1, "mint or programId")
    if not isinstance(wanted, dict) or len(wanted.keys() & {"mint", "programId"}) != 1:
        raise invalid("expected exactly one of mint and programId")
    if "programId" in wanted:
        token_programs = [parse_key(wanted["programId"])]
        if token_programs[0] not in _TOKEN_PROGRAMS:
            raise RpcError(INVALID_PARAMS, "Invalid param: unrecognized Token program id")
        mint = None
    else:
        mint_account = view.account(parse_key(wanted["mint"]))
        if mint_account is None:
            raise RpcError(INVALID_PARAMS, "Invalid param: could not find mint")
        token_programs = [str(mint_account.owner)]
        mint = key_bytes(wanted["mint"])
    config = params.config(2)
    rows = []
    for program in token_programs:
        for address, account in view.node.chain.owned_by(program):
            raw = bytes(account.data)
            # A mint is shorter, or, with extensions, says so behind byte 165.
            if len(raw) < TOKEN_ACCOUNT.length or (len(raw) > 165 and raw[165] != 2):
                continue
            if raw[32:64] == owner and mint in (None, raw[:32]):
                rows.append({"pubkey": address, "account": account_json(account, config)})
    return {"context": view.context(), "value": rows}


def get_token_account_balance(view: View, params: Params) -> Any:
    account = view.account(parse_key(params.required(0, "pubkey")), first=True)
    if account is None or len(account.data) < TOKEN_ACCOUNT.length:
        raise RpcError(INVALID_PARAMS, "Invalid param: could not find account")
    row = TOKEN_ACCOUNT.unpack(bytes(account.data))
    mint = MINT.unpack(view.node.chain.data(key_text(row["mint"])))
    return {"context": view.context(), "value": ui_amount(row["amount"], mint["decimals"])}


def get_token_supply(view: View, params: Params) -> Any:
    account = view.account(parse_key(params.required(0, "pubkey")), first=True)
    if account is None or str(account.owner) not in _TOKEN_PROGRAMS:
        raise RpcError(INVALID_PARAMS, "Invalid param: could not find mint")
    mint = MINT.unpack(bytes(account.data))
    return {"context": view.context(), "value": ui_amount(mint["supply"], mint["decimals"])}


def get_minimum_balance(view: View, params: Params) -> Any:
    size = params.required(0, "data length")
    if not isinstance(size, int) or size < 0:
        raise invalid("expected a length in bytes")
    return view.node.chain.rent(size)


METHODS = {
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getBalance": get_balance,
    "getProgramAccounts": get_program_accounts,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getMinimumBalanceForRentExemption": get_minimum_balance,
}
