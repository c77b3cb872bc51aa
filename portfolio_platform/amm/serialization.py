"""Restore a pool of any kind from its JSON."""

from __future__ import annotations

from typing import Any

from portfolio_platform.amm.concentrated import ConcentratedPool
from portfolio_platform.amm.constant_product import ConstantProductPool
from portfolio_platform.amm.dlmm import DlmmPool
from portfolio_platform.amm.errors import InvalidPool
from portfolio_platform.amm.pool import AmmPool

KINDS: dict[str, type[AmmPool]] = {
    pool.kind: pool for pool in (ConstantProductPool, ConcentratedPool, DlmmPool)
}


def pool_from_json(data: dict[str, Any]) -> AmmPool:
    """Return the pool whose `to_json` gave `data`.

    Raises
    ------
    InvalidPool
        The kind is not known.
    """
    kind = KINDS.get(data.get("kind", ""))
    if kind is None:
        raise InvalidPool(f"unknown kind of pool: {data.get('kind')!r}")
    return kind.from_json(data)
