"""What can go wrong with the API server, as the reconcilers see it."""


class ApiError(Exception):
    """The API server refused a request for good.

    Args:
        status: HTTP status.
        reason: the server's one word, such as `Invalid` or `Forbidden`.
        message: the server's sentence.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"HTTP {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Conflict(ApiError):
    """The object changed since it was read (or another manager owns a field): read again, then decide again."""


class AlreadyExists(ApiError):
    """There is an object of that name already."""


class ForeignObject(Exception):
    """An object of the name that a child should have belongs to somebody else; the message names it."""


class Leftover(ForeignObject):
    """It belongs to an earlier resource of the same kind and name: the garbage collector is about to remove it."""


class ApiUnavailable(Exception):
    """The API server did not answer after retries."""


class WebhookFailed(ApiError, ApiUnavailable):
    """An admission webhook that must agree did not answer, so the API server did nothing: it may agree later."""


class NotLeading(ApiUnavailable):
    """Nothing was sent: this process may no longer be the operator that works."""
