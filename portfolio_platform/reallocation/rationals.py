"""Exact rationals at the edges: parsing, and rounding for display."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema


def ratio(value: Any) -> Fraction:
    """Return `value` as an exact fraction.

    A float counts as the shortest decimal that denotes it (0.1 is 1/10), so that a weight means
    what its JSON text says.

    Raises
    ------
    ValueError
        Not a finite number.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"not a number: {value!r}")
    try:
        return Fraction(repr(float(value)) if isinstance(value, float) else value)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"not a finite number: {value!r}") from error


def decimal_text(value: Fraction, places: int) -> str:
    """Return the fraction as decimal text with a fixed number of places, half rounded to even."""
    scaled = round(value * 10**places)
    sign = "-" if scaled < 0 else ""
    whole, part = divmod(abs(scaled), 10**places)
    return f"{sign}{whole}.{part:0{places}d}" if places else f"{sign}{whole}"


def floor_of(value: Fraction) -> int:
    """Return the largest integer that does not exceed the fraction."""
    return value.numerator // value.denominator


Ratio = Annotated[
    Fraction,
    PlainValidator(ratio),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "description": "exact rational, e.g. 19/20 or 0.95"}),
]
