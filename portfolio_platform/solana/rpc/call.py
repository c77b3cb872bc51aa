"""The state of one call while endpoints are asked for it."""

from portfolio_platform.solana.rpc.error_table import Action
from portfolio_platform.solana.rpc.errors import (
    MalformedReply,
    PermanentFailure,
    RpcError,
    SlotSkipped,
    Unavailable,
)


class Call:
    """What is known about one call while it is being answered."""

    def __init__(self, method: str, deadline: float) -> None:
        self.method = method
        self.deadline = deadline
        self.sent = 0
        self.pauses = 0
        self.skipped = 0
        self.permanent = 0
        self.asked: dict[str, int] = {}
        self.closed: set[str] = set()
        self.last: RpcError | None = None

    def note(self, error: RpcError) -> None:
        self.last = error

    def error(self, kind: type[RpcError]) -> RpcError:
        """The last failure as an exception of ``kind``."""
        last = self.last
        return kind(
            last.message if last else "no endpoint could be asked",
            method=self.method,
            endpoint=last.endpoint if last else "",
            code=last.code if last else None,
            action=last.action if last else Action.OTHER_ENDPOINT,
            attempts=self.sent,
        )

    def verdict(self) -> RpcError:
        """No endpoint is left: what their answers amount to."""
        if self.skipped:
            skipped = SlotSkipped(
                f"{self.skipped} of {len(self.closed)} endpoints say that the slot was skipped",
                method=self.method,
                code=self.last.code if self.last else None,
                action=Action.AMBIGUOUS,
                attempts=self.sent,
            )
            skipped.confirmed_by = self.skipped
            return skipped
        if self.permanent:
            return self.error(PermanentFailure)
        return self.error(Unavailable)

    def exhausted(self) -> RpcError:
        """Too many requests were sent."""
        malformed = getattr(self.last, "malformed", False)
        return self.error(MalformedReply if malformed else Unavailable)
