"""Mints and token accounts of SPL Token and Token-2022, with every extension reported."""

import math
import struct
from typing import Any

from portfolio_platform.solana.decoded import Decoded, Malformed, decimals_in_range, whole
from portfolio_platform.solana.layouts import key_text, spl_token

_NO_KEY = bytes(32)


def _option(tag: int, what: str) -> bool:
    if tag not in (0, 1):
        raise Malformed(f"option tag {tag} of {what}")
    return bool(tag)


def decode_mint(data: bytes) -> Decoded:
    """A mint of either token program; ``derived.supply`` is in whole tokens."""
    raw = spl_token.MINT.unpack(data)
    if raw["initialized"] != 1:
        raise Malformed(f"mint is not initialised (flag {raw['initialized']})")
    has_mint = _option(raw["mint_authority_option"], "the mint authority")
    has_freeze = _option(raw["freeze_authority_option"], "the freeze authority")
    decimals = decimals_in_range(raw["decimals"])
    values: dict[str, Any] = {
        "supply": raw["supply"],
        "decimals": decimals,
        "mint_authority": key_text(raw["mint_authority"]) if has_mint else None,
        "freeze_authority": key_text(raw["freeze_authority"]) if has_freeze else None,
    }
    derived: dict[str, Any] = {"supply": whole(raw["supply"], decimals)}
    if len(data) <= spl_token.MINT.length:
        return Decoded("spl_mint", values, derived)
    _account_type(data, spl_token.ACCOUNT_TYPE_MINT)
    values["extensions"] = _extensions(data)
    derived["notices"] = mint_notices(values["extensions"])
    return Decoded("token_2022_mint", values, derived)


def decode_token_account(data: bytes) -> Decoded:
    """A token account of either program; the amount stays in base units."""
    raw = spl_token.TOKEN_ACCOUNT.unpack(data)
    if raw["state"] not in (spl_token.STATE_INITIALIZED, spl_token.STATE_FROZEN):
        raise Malformed(f"token account state {raw['state']}")
    has_delegate = _option(raw["delegate_option"], "the delegate")
    is_native = _option(raw["native_option"], "the native reserve")
    has_close = _option(raw["close_authority_option"], "the close authority")
    values: dict[str, Any] = {
        "mint": key_text(raw["mint"]),
        "owner": key_text(raw["owner"]),
        "amount": raw["amount"],
        "delegate": key_text(raw["delegate"]) if has_delegate else None,
        "delegated_amount": raw["delegated_amount"],
        "state": raw["state"],
        "native_rent": raw["native_rent"] if is_native else None,
        "close_authority": key_text(raw["close_authority"]) if has_close else None,
    }
    derived: dict[str, Any] = {"frozen": raw["state"] == spl_token.STATE_FROZEN}
    if len(data) == spl_token.TOKEN_ACCOUNT.length:
        return Decoded("spl_token_account", values, derived)
    _account_type(data, spl_token.ACCOUNT_TYPE_ACCOUNT)
    values["extensions"] = _extensions(data)
    return Decoded("token_2022_account", values, derived)


def _account_type(data: bytes, expected: int) -> None:
    if len(data) <= spl_token.ACCOUNT_TYPE_OFFSET:
        raise Malformed(f"{len(data)} bytes leave no room for the account type")
    found = data[spl_token.ACCOUNT_TYPE_OFFSET]
    if found != expected:
        raise Malformed(f"account type {found}, expected {expected}")


def _extensions(data: bytes) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    try:
        for one in spl_token.read_extensions(data):
            found[one.name] = {"type": one.type, **_fields(one)}
    except spl_token.MalformedExtensions as error:
        raise Malformed(str(error)) from error
    return found


def _key_or_none(raw: bytes) -> str | None:
    return None if raw == _NO_KEY else key_text(raw)


def _needs(one: spl_token.Extension, length: int) -> None:
    if len(one.value) < length:
        raise Malformed(f"extension {one.name} has {len(one.value)} bytes, needs {length}")


def _fields(one: spl_token.Extension) -> dict[str, Any]:
    value = one.value
    if one.name == "transfer_fee_config":
        _needs(one, spl_token.TRANSFER_FEE_CONFIG.length)
        fee = spl_token.TRANSFER_FEE_CONFIG.unpack(value)
        return {
            side: {
                "epoch": fee[f"{side}_epoch"],
                "basis_points": fee[f"{side}_basis_points"],
                "maximum_fee": fee[f"{side}_maximum_fee"],
            }
            for side in ("older", "newer")
        } | {"withheld_amount": fee["withheld_amount"]}
    if one.name == "transfer_fee_amount":
        _needs(one, 8)
        return {"withheld_amount": int.from_bytes(value[:8], "little")}
    if one.name == "interest_bearing_config":
        _needs(one, spl_token.INTEREST_BEARING_CONFIG.length)
        at, now = (
            spl_token.INTEREST_PRE_UPDATE_RATE_OFFSET,
            spl_token.INTEREST_CURRENT_RATE_OFFSET,
        )
        raw = spl_token.INTEREST_BEARING_CONFIG.unpack(value)
        return {
            "initialization_timestamp": raw["initialization_timestamp"],
            "pre_update_average_rate_bps": int.from_bytes(
                value[at : at + 2], "little", signed=True
            ),
            "last_update_timestamp": raw["last_update_timestamp"],
            "current_rate_bps": int.from_bytes(value[now : now + 2], "little", signed=True),
        }
    if one.name == "scaled_ui_amount":
        _needs(one, 56)
        multiplier, effective, following = struct.unpack_from("<dqd", value, 32)
        for number in (multiplier, following):
            if not math.isfinite(number) or number < 0:
                raise Malformed("scaled UI amount multiplier is not a positive number")
        return {
            "multiplier": multiplier,
            "new_multiplier": following,
            "new_multiplier_effective_timestamp": effective,
        }
    if one.name == "default_account_state":
        _needs(one, 1)
        return {"state": value[0]}
    if one.name == "pausable":
        _needs(one, 33)
        return {"authority": _key_or_none(value[:32]), "paused": bool(value[32])}
    if one.name in ("permanent_delegate", "mint_close_authority"):
        _needs(one, 32)
        return {"authority": _key_or_none(value[:32])}
    if one.name == "transfer_hook":
        _needs(one, 64)
        return {"authority": _key_or_none(value[:32]), "program": _key_or_none(value[32:64])}
    return {"length": len(value)}


def mint_notices(extensions: dict[str, dict[str, Any]]) -> list[str]:
    """What an owner of the token must know before a raw amount is taken at face value."""
    notices = []
    fee = extensions.get("transfer_fee_config")
    if fee and max(fee["older"]["basis_points"], fee["newer"]["basis_points"]) > 0:
        notices.append("transfer_fee: the amount received is less than the amount sent")
    if "interest_bearing_config" in extensions:
        notices.append("interest_bearing: the displayed amount is not the raw amount")
    if "scaled_ui_amount" in extensions:
        notices.append("scaled_ui_amount: the displayed amount is not the raw amount")
    if extensions.get("default_account_state", {}).get("state") == spl_token.STATE_FROZEN:
        notices.append("default_frozen: new accounts start frozen")
    if extensions.get("pausable", {}).get("paused"):
        notices.append("paused: transfers are switched off")
    if extensions.get("permanent_delegate", {}).get("authority"):
        notices.append("permanent_delegate: one key can move every balance")
    if extensions.get("transfer_hook", {}).get("program"):
        notices.append("transfer_hook: a program runs on every transfer")
    if "non_transferable" in extensions:
        notices.append("non_transferable: the token cannot be sold")
    return notices


def transfer_fee_at(
    extensions: dict[str, dict[str, Any]], epoch: int | None
) -> tuple[int, int] | None:
    """(basis points, maximum in base units) that hold in ``epoch``; None without the extension.

    The newer fee holds from its epoch on. With an unknown epoch the larger of the two is taken,
    so that a quote is never better than the chain.
    """
    fee = extensions.get("transfer_fee_config")
    if fee is None:
        return None
    older, newer = fee["older"], fee["newer"]
    if epoch is not None:
        chosen = newer if epoch >= newer["epoch"] else older
        return chosen["basis_points"], chosen["maximum_fee"]
    return (
        max(older["basis_points"], newer["basis_points"]),
        max(older["maximum_fee"], newer["maximum_fee"]),
    )
