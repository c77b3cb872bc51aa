"""Computing a stored plan again and finding where two plans part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from portfolio_platform.reallocation.inputs import PlanInputs
from portfolio_platform.reallocation.planner import compute


class UnreadableInputs(ValueError):
    """Stored inputs from which no plan can be computed; the text says where they break."""


class Difference(NamedTuple):
    """The first place where two JSON values differ, with what stands there."""

    path: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.left!r} is not {self.right!r}"


_ABSENT = "<absent>"


def first_difference(left: Any, right: Any, path: str = "$") -> Difference | None:
    """Return the first difference in key and list order, None when the values are equal."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            if key not in left or key not in right:
                return Difference(f"{path}.{key}", left.get(key, _ABSENT), right.get(key, _ABSENT))
            found = first_difference(left[key], right[key], f"{path}.{key}")
            if found is not None:
                return found
        return None
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        for index in range(max(len(left), len(right))):
            here = f"{path}[{index}]"
            if index >= len(left) or index >= len(right):
                return Difference(
                    here,
                    left[index] if index < len(left) else _ABSENT,
                    right[index] if index < len(right) else _ABSENT,
                )
            found = first_difference(left[index], right[index], here)
            if found is not None:
                return found
        return None
    # A JSON store may give 1e16 back as an integer: equal numbers are equal, but true is not 1.
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (left, right))
    if left != right or not (numbers or type(left) is type(right)):
        return Difference(path, left, right)
    return None


def replay(stored_inputs: Mapping[str, Any], stored_plan: Mapping[str, Any]) -> Difference | None:
    """Compute the plan of stored inputs again and compare it with the stored plan.

    Returns
    -------
    Difference or None
        None when the stored plan is exactly what its inputs give; otherwise `left` is what is
        stored and `right` what is computed now.

    Raises
    ------
    UnreadableInputs
        The stored inputs are not inputs of a plan.
    """
    try:
        inputs = PlanInputs.from_json(stored_inputs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableInputs(
            f"the stored inputs are not those of a plan: {type(error).__name__}: {error}"
        ) from error
    return first_difference(stored_plan, compute(inputs).to_json())
