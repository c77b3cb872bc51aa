"""Positional parameters of an RPC call."""

from __future__ import annotations

from typing import Any

from portfolio_platform.localnet.errors import invalid


class Params:
    """The `params` list of a call, with the errors a node gives for missing ones."""

    def __init__(self, values: Any) -> None:
        if values is None:
            values = []
        if not isinstance(values, list):
            raise invalid("expected a list of parameters")
        self.values: list[Any] = values

    def required(self, place: int, name: str) -> Any:
        """The parameter at `place`."""
        if place >= len(self.values) or self.values[place] is None:
            raise invalid(f"missing {name} at position {place}")
        return self.values[place]

    def integer(self, place: int, name: str) -> int:
        """A parameter that must be a non-negative integer."""
        value = self.required(place, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise invalid(f"{name} must be a non-negative integer, got {value!r}")
        return value

    def text(self, place: int, name: str) -> str:
        """A parameter that must be text."""
        value = self.required(place, name)
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string, got {type(value).__name__}")
        return value

    def config(self, place: int) -> dict[str, Any]:
        """The configuration object at `place`, empty where there is none."""
        if place >= len(self.values) or self.values[place] is None:
            return {}
        value = self.values[place]
        if not isinstance(value, dict):
            raise invalid(f"expected an object at position {place}, got {type(value).__name__}")
        return value

    def min_context_slot(self) -> int | None:
        """`minContextSlot` of whichever parameter carries it."""
        for value in self.values:
            if isinstance(value, dict) and value.get("minContextSlot") is not None:
                slot = value["minContextSlot"]
                if isinstance(slot, bool) or not isinstance(slot, int):
                    raise invalid("minContextSlot must be an integer")
                return slot
        return None
