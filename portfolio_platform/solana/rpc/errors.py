"""What a call to the network can end with. No text here ever carries a URL: keys hide in them."""

from portfolio_platform.solana.rpc.error_table import Action


class RpcError(Exception):
    """A call that gave no answer.

    Attributes
    ----------
    method : str
    endpoint : str
        Name of the last endpoint asked (its host, never its URL).
    code : int or None
        JSON-RPC code or HTTP status, where there was one.
    action : Action
    attempts : int
        Requests that were sent for this call.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        endpoint: str = "",
        code: int | None = None,
        action: Action = Action.OTHER_ENDPOINT,
        attempts: int = 0,
    ) -> None:
        self.message = message
        self.method = method
        self.endpoint = endpoint
        self.code = code
        self.action = action
        self.attempts = attempts
        super().__init__(message)

    def __str__(self) -> str:
        at = f" at {self.endpoint}" if self.endpoint else ""
        code = f" ({self.code})" if self.code is not None else ""
        tries = f" after {self.attempts} requests" if self.attempts > 1 else ""
        return f"{self.method or 'RPC'}{at}: {self.message}{code}{tries}"


class InvalidEndpoint(ValueError):
    """An address that cannot be an endpoint. The text does not repeat it: keys hide in them."""


class InvalidCall(RpcError):
    """The caller's fault: the same request fails everywhere."""


class PermanentFailure(RpcError):
    """No endpoint of the pool can ever answer this call."""


class SlotSkipped(RpcError):
    """The endpoints claim that the slot was skipped; a claim, confirmed by ``confirmed_by``."""

    confirmed_by: int = 1


class ScanTooWide(RpcError):
    """The scan failed on the node; a narrower filter may pass."""


class Unavailable(RpcError):
    """Every endpoint was tried until the deadline or the attempts ran out."""


class MalformedReply(Unavailable):
    """The last replies were no JSON-RPC answers: HTML, cut-off JSON, another shape or id."""


class DeadlineExceeded(Unavailable):
    """The deadline of the call passed."""


class NativePanic(RpcError):
    """Native code panicked; its exception is not an ``Exception`` and would end a run."""
