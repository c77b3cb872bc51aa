"""Base58 of arbitrary length, for instruction data and signatures."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {character: value for value, character in enumerate(_ALPHABET)}
SIGNATURE_BYTES = 64
_SIGNATURE_TEXT = range(64, 89)


def b58decode(text: str) -> bytes:
    """Bytes of base58 text; ValueError for a character outside the alphabet."""
    number = 0
    for character in text:
        digit = _DIGIT.get(character)
        if digit is None:
            raise ValueError(f"{character!r} is not a base58 character")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def b58encode(raw: bytes) -> str:
    """Base58 text of bytes."""
    number = int.from_bytes(raw, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def is_signature(text: object) -> bool:
    """Whether ``text`` is the base58 form of 64 bytes."""
    if not isinstance(text, str) or len(text) not in _SIGNATURE_TEXT:
        return False
    try:
        return len(b58decode(text)) == SIGNATURE_BYTES
    except ValueError:
        return False
