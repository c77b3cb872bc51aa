"""What holds for every kind of version: its header and the chain of its inputs."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# $1 version.
HEADER = Statement(
    """
select v.version, v.kind, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at
from public.versions as v where v.version = $1::uuid
"""
)

# $1 version.
LINEAGE = Statement("select depth, parent, kind, id, sha256, detail from public.lineage($1::uuid)")
