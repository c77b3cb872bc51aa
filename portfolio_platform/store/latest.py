"""The newest facts known at a time: prices with verdicts, pools, reserves, rates, holdings.

Each read takes the newest recording of the newest observation; a row learnt after ``as_of`` is not
there yet, whatever time it is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row


def _rows(conn: Connection, query: str, **parameters: Any) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def prices(conn: Connection, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Every source's last price since the universe was judged as a whole, refused ones included.

    Columns ``price_id, mint, source, pubkey, snapshot_id, slot, price, confidence, published_at,
    age_slots, age_seconds, depth, verdict, reasons, observed_at, sha256``.
    """
    return _rows(
        conn,
        """
        select distinct on (p.mint, p.pubkey, p.source)
            p.price_id, p.mint, p.source, p.pubkey, p.snapshot_id, p.slot, p.price, p.confidence,
            p.published_at, p.age_slots, p.age_seconds, p.depth, p.verdict, p.reasons,
            p.observed_at, s.sha256
        from public.token_prices as p join chain.account_snapshots as s using (snapshot_id)
        where p.observed_at >= (select w.observed_at from public.token_prices as w
                                where w.whole and (%(as_of)s::timestamptz is null
                                                   or w.recorded_at <= %(as_of)s)
                                order by w.observed_at desc limit 1)
          and (%(as_of)s::timestamptz is null or p.recorded_at <= %(as_of)s)
        order by p.mint, p.pubkey, p.source, p.observed_at desc, p.recorded_at desc,
                 p.price_id desc
        """,
        as_of=as_of,
    )


def judged_slots(
    conn: Connection, pubkeys: Iterable[str], numbering: int, before: datetime
) -> dict[str, int]:
    """Newest slot at which each account's price was judged, by what was known before a moment.

    Slots of an earlier numbering (see `chain.fetches`) are not compared with the present ones.
    """
    rows = conn.execute(
        """
        select k.pubkey, n.slot
        from unnest(%(pubkeys)s::text[]) as k (pubkey)
        cross join lateral (
            select p.slot from public.token_prices as p
            where p.pubkey = k.pubkey and p.recorded_at < %(before)s
              and p.recorded_at >= (select min(f.recorded_at) from chain.fetches as f
                                    where f.numbering = %(numbering)s)
            order by p.slot desc limit 1
        ) as n
        """,
        {"pubkeys": sorted(pubkeys), "numbering": numbering, "before": before},
    )
    return dict(rows.fetchall())


def pools(conn: Connection, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Newest state of each pool."""
    return _rows(
        conn,
        """
        select distinct on (pubkey) pool_state_id, pubkey, kind, mint_a, mint_b, snapshot_id,
            account_ids, slot, spot_price, fee_bps, depth_50bps, depth_100bps, refused, state,
            observed_at
        from public.pool_states
        where (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
        order by pubkey, observed_at desc, slot desc, recorded_at desc, pool_state_id desc
        """,
        as_of=as_of,
    )


def reserves(conn: Connection, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Newest state of each lending reserve."""
    return _rows(
        conn,
        """
        select distinct on (pubkey) * from public.lending_reserves
        where (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
        order by pubkey, observed_at desc, slot desc, recorded_at desc, reserve_id desc
        """,
        as_of=as_of,
    )


def stake_rates(conn: Connection, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Newest exchange rate of each stake pool."""
    return _rows(
        conn,
        """
        select distinct on (pubkey) * from public.stake_pool_rates
        where (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
        order by pubkey, observed_at desc, slot desc, recorded_at desc, rate_id desc
        """,
        as_of=as_of,
    )


def staking_yields(conn: Connection, as_of: datetime | None = None) -> dict[str, float]:
    """Annual yield of each liquid staking token from the growth of its rate.

    Compounded from the oldest to the newest rate of the last 30 days; a token whose rates lie
    less than a day apart has none yet.
    """
    rows = _rows(
        conn,
        """
        with known as (
            select mint, rate, observed_at from public.stake_pool_rates
            where rate > 0 and (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
        ), ends as (
            select distinct on (mint) mint, rate, observed_at from known
            order by mint, observed_at desc
        )
        select distinct on (k.mint) k.mint, k.rate as first, e.rate as last,
            extract(epoch from e.observed_at - k.observed_at) / 86400 as days
        from known as k join ends as e using (mint)
        where k.observed_at >= e.observed_at - interval '30 days'
        order by k.mint, k.observed_at
        """,
        as_of=as_of,
    )
    return {
        row["mint"]: (row["last"] / row["first"]) ** (365 / float(row["days"])) - 1
        for row in rows
        if row["days"] >= 1
    }


def holdings(conn: Connection, wallet: str, as_of: datetime | None = None) -> list[dict[str, Any]]:
    """Balances of a wallet when it was last read."""
    return _rows(
        conn,
        """
        select distinct on (token_account) h.*, s.sha256
        from public.wallet_holdings as h join chain.account_snapshots as s using (snapshot_id)
        where h.wallet = %(wallet)s
          and (%(as_of)s::timestamptz is null or h.recorded_at <= %(as_of)s)
          and h.observed_at = (select max(observed_at) from public.wallet_holdings
                        where wallet = %(wallet)s
                          and (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s))
        order by token_account, h.recorded_at desc, holding_id desc
        """,
        as_of=as_of,
        wallet=wallet,
    )


def tokens(conn: Connection) -> dict[str, dict[str, Any]]:
    """All tokens by mint."""
    return {
        row["mint"]: row
        for row in _rows(
            conn,
            "select mint, symbol, decimals, is_stable, token_group, extensions from public.tokens",
        )
    }
