"""Public keys as text and bytes; nonsense is refused before anything is asked of a network."""

from functools import lru_cache

from solders.pubkey import Pubkey

_ALPHABET = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
KEY_BYTES = 32
_MIN_TEXT, _MAX_TEXT = 32, 44


class InvalidPubkey(ValueError):
    """Text that is not the base58 form of 32 bytes."""

    def __init__(self, text: object, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"{str(text)[:64]!r} is not a Solana public key: {reason}")


def key_bytes(text: str) -> bytes:
    """The 32 bytes of a base58 public key.

    The alphabet and the length are checked here, because the native parser of the transport
    library accepts some nonsense and panics on it later.

    Raises
    ------
    InvalidPubkey
    """
    if not isinstance(text, str):
        raise InvalidPubkey(text, f"expected text, got {type(text).__name__}")
    if not _MIN_TEXT <= len(text) <= _MAX_TEXT:
        raise InvalidPubkey(text, f"{len(text)} characters, expected {_MIN_TEXT} to {_MAX_TEXT}")
    wrong = sorted(set(text) - _ALPHABET)
    if wrong:
        raise InvalidPubkey(text, f"characters outside base58: {''.join(wrong)!r}")
    try:
        raw = bytes(Pubkey.from_string(text))
    except ValueError as error:
        raise InvalidPubkey(text, "does not decode to 32 bytes") from error
    if str(Pubkey(raw)) != text:
        raise InvalidPubkey(text, "not the canonical form of its bytes")
    return raw


@lru_cache(maxsize=65536)
def _text(raw: bytes) -> str:
    return str(Pubkey(raw))


def key_text(raw: bytes) -> str:
    """Base58 text of 32 bytes; ValueError for any other length."""
    raw = bytes(raw)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(raw)}")
    return _text(raw)


def is_key(text: object) -> bool:
    """Whether ``text`` is the canonical base58 form of 32 bytes."""
    try:
        key_bytes(text)  # type: ignore[arg-type]
    except InvalidPubkey:
        return False
    return True
