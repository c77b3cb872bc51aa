"""What each JSON-RPC error code means for the caller: a table, not code branches.

Source: ``rpc-client-api/src/custom_error.rs`` of the validator client, and vendors' rate codes.
"""

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What to do about an error."""

    RETRY = "retry"
    OTHER_ENDPOINT = "other_endpoint"
    PERMANENT_ON_NODE = "permanent_on_node"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"
    NARROWER = "narrower"
    CALLER = "caller"
    RATE_LIMIT = "rate_limit"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row: the code, its published name, the action, and a remedy in plain words."""

    code: int
    name: str
    action: Action
    remedy: str


_ROWS = (
    ErrorRow(-32001, "block cleaned up", Action.PERMANENT_ON_NODE, "ask an archive endpoint"),
    ErrorRow(-32002, "preflight failure", Action.PERMANENT, "the transaction fails"),
    ErrorRow(-32003, "signature verification failure", Action.PERMANENT, "sign again"),
    ErrorRow(-32004, "block not available", Action.RETRY, "the block may still appear"),
    ErrorRow(-32005, "node is behind or unhealthy", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(-32006, "precompile verification failure", Action.PERMANENT, "the transaction fails"),
    ErrorRow(-32007, "slot skipped or missing", Action.AMBIGUOUS, "confirm on a second endpoint"),
    ErrorRow(-32008, "no snapshot", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(
        -32009,
        "slot skipped or missing in long-term storage",
        Action.AMBIGUOUS,
        "confirm on a second endpoint and look again later",
    ),
    ErrorRow(
        -32010,
        "key excluded from account secondary indexes",
        Action.PERMANENT,
        "getProgramAccounts is not possible for this program here",
    ),
    ErrorRow(
        -32011,
        "transaction history not available from this node",
        Action.PERMANENT_ON_NODE,
        "ask an endpoint that keeps history",
    ),
    ErrorRow(-32012, "scan error", Action.NARROWER, "scan with a narrower filter"),
    ErrorRow(-32013, "signature length mismatch", Action.PERMANENT, "sign again"),
    ErrorRow(-32014, "block status not yet available", Action.RETRY, "wait and ask again"),
    ErrorRow(
        -32015,
        "transaction version not supported",
        Action.CALLER,
        "send maxSupportedTransactionVersion: 0",
    ),
    ErrorRow(
        -32016, "minimum context slot not reached", Action.OTHER_ENDPOINT, "ask a node further on"
    ),
    ErrorRow(-32017, "epoch rewards period active", Action.RETRY, "wait for the period to end"),
    ErrorRow(-32018, "slot is not an epoch boundary", Action.CALLER, "ask for a boundary slot"),
    ErrorRow(-32019, "long-term storage unreachable", Action.RETRY, "wait and ask again"),
    ErrorRow(-32020, "filter transaction not found", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(-32021, "no slot history", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(-32600, "invalid request", Action.CALLER, "correct the request"),
    ErrorRow(-32601, "method not found", Action.PERMANENT_ON_NODE, "the node lacks this method"),
    ErrorRow(-32602, "invalid parameters", Action.CALLER, "at most 100 keys per request"),
    ErrorRow(-32603, "internal error", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(-32700, "parse error", Action.OTHER_ENDPOINT, "ask another node"),
    ErrorRow(-32429, "vendor rate limit", Action.RATE_LIMIT, "slow down"),
    ErrorRow(-32029, "vendor rate limit", Action.RATE_LIMIT, "slow down"),
    ErrorRow(429, "rate limit in the body", Action.RATE_LIMIT, "slow down"),
)

ERROR_TABLE: dict[int, ErrorRow] = {row.code: row for row in _ROWS}


def row_of(code: int) -> ErrorRow:
    """The row of a code; an unknown one is retried elsewhere and counted, never swallowed."""
    return ERROR_TABLE.get(
        code, ErrorRow(code, "unknown error code", Action.OTHER_ENDPOINT, "ask another node")
    )


@dataclass(frozen=True, slots=True)
class HttpRow:
    """What an HTTP status means."""

    action: Action
    blocks_endpoint: bool = False


def http_row(status: int) -> HttpRow:
    """The row of an HTTP status that is not 200."""
    if status == 429:
        return HttpRow(Action.RATE_LIMIT)
    if status in (401, 403):
        return HttpRow(Action.OTHER_ENDPOINT, blocks_endpoint=True)
    if status in (400, 413, 414, 422):
        return HttpRow(Action.CALLER)
    if status in (404, 405, 410):
        return HttpRow(Action.PERMANENT_ON_NODE, blocks_endpoint=True)
    return HttpRow(Action.OTHER_ENDPOINT)
