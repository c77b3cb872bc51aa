"""What other venues say a token is worth: a voice beside oracles and pools."""

from __future__ import annotations

from datetime import datetime

from psycopg import Connection

from portfolio_platform.market.cleaning import DOLLARS
from portfolio_platform.settings import Settings
from portfolio_platform.store import bars as bar_store

# A perpetual has a basis (24.6 % on the day FTX fell), and pool bars come from the pools that are
# to be compared with something else.
_INDEPENDENT = ("spot", "oracle")


def venue_prices(
    conn: Connection, settings: Settings, now: datetime, known_at: datetime
) -> dict[str, float]:
    """US dollars per token by mint: the newest clean close, where it is fresh.

    Parameters
    ----------
    now : datetime
        Time of the chain. A bar counts when it closed no more than
        ``reference_max_intervals`` intervals before.
    known_at : datetime
        Only bars that the database knew by then.
    """
    closes = [
        one
        for one in bar_store.newest_closes(
            conn, settings.reference_interval, now, settings.reference_max_intervals, known_at
        )
        if one.instrument in _INDEPENDENT and one.quote in DOLLARS
    ]
    # Of several venues spot comes first, then the newest; the dictionary keeps the last.
    closes.sort(key=lambda one: (-_INDEPENDENT.index(one.instrument), one.observed_at))
    return {one.mint: one.close for one in closes}
