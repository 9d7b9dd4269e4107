"""What the API server refuses, in one sentence that says what to do."""

import json
from collections.abc import Sequence
from typing import Any

from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import Kind
from bluetune_api import GROUP

MAX_NAMES = 20
"""Maximum number of names that a message lists."""
TRANSIENT = frozenset({429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may be answered."""


class ApiRefusal(CliError):
    """The API server refused a request."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message, Exit.UNREACHABLE if status in TRANSIENT else Exit.REFUSED)
        self.status, self.reason = status, reason


def refusal(status: int, body: str, *, verb: str, kind: Kind, namespace: str, name: str | None = None) -> ApiRefusal:
    """The error for an answer whose status is not 2xx.

    Args:
        status: of HTTP.
        body: a `Status` object as JSON, or what a proxy wrote instead.
        verb: as RBAC has it.
        kind, namespace, name: what was asked for; no name for a list or a create.
    """
    said = _status(body)
    reason, message = str(said.get("reason") or ""), str(said.get("message") or body.strip()[:300])
    return ApiRefusal(_sentence(status, said, reason, message, verb, kind, namespace, name), status, reason)


def _sentence(
    status: int,
    said: dict[str, Any],
    reason: str,
    message: str,
    verb: str,
    kind: Kind,
    namespace: str,
    name: str | None,
) -> str:
    where = f" in namespace {namespace}" if kind.namespaced else ""
    details = said.get("details") or {}
    if status == 401:
        return "the API server does not accept the credentials of this context: log in again, or name another --context"
    if status == 403 and reason == "Forbidden" and details.get("causes") is None and "is forbidden: User" in message:
        grant = " (the chart adds it to the ClusterRoles view and edit)" if kind.group == GROUP else ""
        return f"you may not {verb} {kind.full_name}{where}: ask for that right{grant}"
    if status == 404 and details.get("kind") == "namespaces":
        return f"there is no namespace {namespace}"
    if status == 404 and name is not None and details.get("name"):
        return f"there is no {kind.name} {name}{where}"
    if status == 404:
        return f"this cluster does not know {kind.full_name}: " + (
            "install bluetune's chart, or apply its crds/" if kind.group == GROUP else "it is not installed"
        )
    if reason == "AlreadyExists":
        return f"{kind.name} {details.get('name') or name} exists already{where}: choose another name"
    if status in TRANSIENT:
        return f"the API server answered HTTP {status}: {message or 'without a word'}"
    return f"the API server refused it: {message or f'HTTP {status}'}"


def not_found(kind: Kind, name: str, namespace: str, names: Sequence[str]) -> ApiRefusal:
    """The error for a name that is not there, with those that are."""
    there = sorted(names)
    more = f" and {len(there) - MAX_NAMES} more" if len(there) > MAX_NAMES else ""
    known = f"there are {', '.join(there[:MAX_NAMES])}{more}" if there else "there are none (-n names another one)"
    text = f"there is no {kind.name} {name} in namespace {namespace}: {known}"
    return ApiRefusal(text, 404, "NotFound")


def _status(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
