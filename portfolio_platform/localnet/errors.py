"""Errors that the local chain answers, as JSON-RPC codes."""

from __future__ import annotations

from typing import Any

from solders.transaction_status import (
    InstructionErrorBorshIO,
    InstructionErrorCustom,
    TransactionErrorDuplicateInstruction,
    TransactionErrorInstructionError,
    TransactionErrorInsufficientFundsForRent,
)

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
PARSE_ERROR = -32700
PREFLIGHT_FAILURE = -32002
BLOCK_CLEANED_UP = -32001
BLOCK_NOT_AVAILABLE = -32004
SLOT_SKIPPED = -32007
UNSUPPORTED_TRANSACTION_VERSION = -32015
MIN_CONTEXT_SLOT_NOT_REACHED = -32016

_ABSENT = object()


class RpcError(Exception):
    """An answer with an `error` member; `data` is left out unless given."""

    def __init__(self, code: int, message: str, data: Any = _ABSENT) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")

    def body(self) -> dict[str, Any]:
        """The `error` member."""
        out: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not _ABSENT:
            out["data"] = self.data
        return out


def invalid(message: str) -> RpcError:
    """The caller's parameters are wrong."""
    return RpcError(INVALID_PARAMS, f"Invalid params: {message}")


def transaction_error_json(error: object) -> Any:
    """A transaction error of LiteSVM in the JSON form of the RPC."""
    if isinstance(error, TransactionErrorInstructionError):
        inner = error.err
        if isinstance(inner, InstructionErrorCustom):
            return {"InstructionError": [error.index, {"Custom": inner.code}]}
        if isinstance(inner, InstructionErrorBorshIO):
            return {"InstructionError": [error.index, {"BorshIoError": inner.value}]}
        return {"InstructionError": [error.index, _name(inner)]}
    if isinstance(error, TransactionErrorDuplicateInstruction):
        return {"DuplicateInstruction": error.index}
    if isinstance(error, TransactionErrorInsufficientFundsForRent):
        return {"InsufficientFundsForRent": {"account_index": error.account_index}}
    return _name(error)


def _name(error: object) -> str:
    return str(error).rsplit(".", 1)[-1]
