"""Times as Kubernetes writes them: RFC 3339, UTC, whole seconds."""

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """A moment as it stands in a status."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> datetime:
    """A moment from a status or from metadata; raises ValueError for what is no time."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def seconds_since(text: str, now: datetime) -> float:
    """Seconds from a moment until now; negative if it lies ahead."""
    return (now - moment_of(text)).total_seconds()
