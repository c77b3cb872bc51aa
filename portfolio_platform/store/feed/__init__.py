"""The change feed: every committed change of a watched table, once, behind the watermark.

The outbox `ops.change_log` is read with the cursor (xid, seq) below `pg_snapshot_xmin`, so a
transaction that commits late is seen late and never skipped. NOTIFY only wakes readers up.
"""

from portfolio_platform.store.feed.consumer import (
    Consumer,
    DeadLetter,
    Lag,
    LeaseHeld,
    MustReconcile,
    lag,
    prune,
    read,
)
from portfolio_platform.store.feed.events import START, Change, Event, Position, coalesce
from portfolio_platform.store.feed.transport import (
    FeedError,
    FeedUnreachable,
    RpcTransport,
    SqlTransport,
    Transport,
)

__all__ = [
    "START",
    "Change",
    "Consumer",
    "DeadLetter",
    "Event",
    "FeedError",
    "FeedUnreachable",
    "Lag",
    "LeaseHeld",
    "MustReconcile",
    "Position",
    "RpcTransport",
    "SqlTransport",
    "Transport",
    "coalesce",
    "lag",
    "prune",
    "read",
]
