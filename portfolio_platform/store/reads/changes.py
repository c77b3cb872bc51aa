"""The change feed as one user may see it."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# The position before everything that is still to come: nothing below xmin can appear any more.
HEAD = Statement(
    """
select (pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1)::text as xid,
       9223372036854775807 as seq
"""
)

# $1 xid, $2 seq, $3 n. `head` tells whether the position is of this database at all.
AFTER = Statement(
    """
select c.x as xid, c.seq, c.relname, c.op, c.n_rows, c.keys, c.at
from public.my_changes($1::text, $2::bigint, $3::integer) as c
"""
)
