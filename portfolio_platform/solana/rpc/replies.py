"""Typed parsing of JSON-RPC replies.

A typed decoder reads only what is needed, several times faster than a generic parser, and refuses
a body that is not the answer. One bad entry among many accounts does not lose the others.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from portfolio_platform.solana.layouts import is_key


class ReplyError(msgspec.Struct):
    """The error object of a reply."""

    code: int
    message: str = ""
    data: Any = None


class Envelope(msgspec.Struct):
    """A reply whose result is left unparsed."""

    jsonrpc: str
    id: str | int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ReplyError | None = None


class BadBody(ValueError):
    """A body that is not a JSON-RPC reply, or a result of another shape than documented."""


_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_envelope(body: str, request_id: str) -> Envelope:
    """The envelope of a reply.

    Raises
    ------
    BadBody
        HTML, cut-off JSON, a missing or foreign id, neither or both of result and error.
    """
    try:
        envelope = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
        start = body[:40].strip().replace("\n", " ")
        raise BadBody(f"not a JSON-RPC reply ({error}); it begins {start!r}") from error
    if envelope.jsonrpc != "2.0":
        raise BadBody(f"JSON-RPC version {envelope.jsonrpc!r}")
    if str(envelope.id) != request_id:
        raise BadBody("the reply answers another request")
    if (envelope.error is None) == (envelope.result is msgspec.UNSET):
        raise BadBody("a reply carries either a result or an error")
    return envelope


class Context(msgspec.Struct):
    """The bank that answered."""

    slot: int


class _Account(msgspec.Struct, gc=False):
    owner: str
    lamports: int
    # Typed as bytes, so that the parser decodes the base64 on its way.
    data: tuple[bytes, str]


class _Accounts(msgspec.Struct):
    context: Context
    value: list[_Account | None]


class _LooseAccounts(msgspec.Struct):
    context: Context
    value: list[Any]


@dataclass(frozen=True, slots=True)
class FetchedAccount:
    """One entry of an account reply; ``error`` says what is wrong with it."""

    owner: str | None
    lamports: int | None
    data: bytes
    error: str | None = None


MISSING = FetchedAccount(None, None, b"", "the account does not exist")

_ACCOUNTS = msgspec.json.Decoder(_Accounts)
_LOOSE = msgspec.json.Decoder(_LooseAccounts)


def parse_accounts(result: msgspec.Raw, expected: int) -> tuple[int, list[FetchedAccount]]:
    """Slot and accounts of a getMultipleAccounts result, in the order of the request.

    Raises
    ------
    BadBody
        When the result as a whole is unusable. A single bad entry gets its own ``error``.
    """
    try:
        parsed: _Accounts | _LooseAccounts = _ACCOUNTS.decode(result)
    except msgspec.ValidationError:
        try:
            parsed = _LOOSE.decode(result)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadBody(f"not a list of accounts: {error}") from error
    except msgspec.DecodeError as error:
        raise BadBody(f"not a list of accounts: {error}") from error
    if len(parsed.value) != expected:
        raise BadBody(f"{len(parsed.value)} accounts for {expected} keys")
    if parsed.context.slot < 0:
        raise BadBody(f"context slot {parsed.context.slot}")
    return parsed.context.slot, [_account(one) for one in parsed.value]


def _account(entry: Any) -> FetchedAccount:
    if entry is None:
        return MISSING
    if not isinstance(entry, _Account):
        try:
            entry = msgspec.convert(entry, _Account)
        except msgspec.ValidationError as error:
            return FetchedAccount(None, None, b"", f"malformed account entry: {error}")
    data, encoding = entry.data
    if not is_key(entry.owner):
        return FetchedAccount(None, entry.lamports, b"", "owner is not a public key")
    if not 0 <= entry.lamports < 2**64:
        return FetchedAccount(entry.owner, None, b"", f"{entry.lamports} lamports")
    if encoding != "base64":
        return FetchedAccount(
            entry.owner, entry.lamports, b"", f"data is encoded as {encoding[:20]!r}, not base64"
        )
    return FetchedAccount(entry.owner, entry.lamports, data)


class _Result(msgspec.Struct):
    context: Context
    value: Any


class _Params(msgspec.Struct):
    subscription: int
    result: _Result


class SocketMessage(msgspec.Struct):
    """Any message of a subscription socket: an acknowledgement, an error or a notification."""

    id: int | str | None = None
    result: Any = None
    error: ReplyError | None = None
    method: str | None = None
    params: _Params | None = None


_SOCKET = msgspec.json.Decoder(SocketMessage)


def parse_socket_message(body: str | bytes) -> SocketMessage:
    """A message of a subscription socket; BadBody for anything else."""
    try:
        return _SOCKET.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
        raise BadBody(f"not a subscription message: {error}") from error


def parse_account_entry(entry: Any) -> FetchedAccount:
    """One account as replies and notifications carry it; what is wrong with it is its error."""
    return _account(entry)


def parse_any(result: msgspec.Raw) -> Any:
    """The result as plain Python objects."""
    try:
        return msgspec.json.decode(result)
    except msgspec.DecodeError as error:
        raise BadBody(f"the result is not valid JSON: {error}") from error
