"""An API server in memory, as far as the lock depends on it, and the operator's own client in front of it.

Faithful in what makes a lock safe or not: resourceVersions and the conflicts they raise, 409 for a name that is taken,
uid preconditions, status as a subresource, watches that lag behind, pods that take their time to end. What the real one
does is tested on a real cluster (tests/operator); this one is for schedules that no cluster can be made to run.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_operator.adapters.faults import CrashPoint
from bluetune_operator.adapters.kube import KubeApi, _refusal
from bluetune_operator.core.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    METHODS,
    MODELS,
    PODS,
    TASKS,
    WORKLOADS,
    Kind,
    Object,
    labels_of,
)

KINDS = (TASKS, MODELS, METHODS, JOBS, PODS, CONFIG_MAPS, LEASES, DEPLOYMENTS, WORKLOADS)
WITH_STATUS = {kind.plural for kind in (TASKS, MODELS, METHODS, JOBS, PODS, DEPLOYMENTS)}
GRACEFUL = {PODS.plural}
"""Deleted only when the kubelet says so."""

Name = tuple[str, str]
"""Plural and name: everything is in one namespace."""
Answer = tuple[int, Object]


@dataclass(frozen=True)
class Request:
    """A call to the API server that has not been carried out yet: the point where others may go first."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any] | None
    content_type: str

    def __str__(self) -> str:
        return f"{self.method} {'/'.join(self.path.split('/')[-3:])}"

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass(frozen=True)
class Change:
    """A write that went through."""

    actor: str
    """The operator, or who else it was."""
    kind: str
    """Plural."""
    name: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True)
class Event:
    """What a watch tells."""

    type: str
    thing: Object


class Kube(KubeApi):
    """The operator's client; its requests are handed to whoever runs the coroutine, who answers or raises."""

    def __init__(self) -> None:
        self._crash_point = CrashPoint(None)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | Sequence[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        status, answer = await _Asked(Request(method, path, dict(query or {}), copied(body), content_type))
        if status >= 300:
            raise _refusal(status, _text(answer))
        return answer


@dataclass
class _Asked:
    request: Request

    def __await__(self) -> Generator[Request, Answer, Answer]:
        answer = yield self.request
        return answer


class ApiServer:
    """Objects of one namespace."""

    def __init__(self, namespace: str, clock: Callable[[], str]) -> None:
        self.namespace = namespace
        self.objects: dict[Name, Object] = {}
        self.watched: dict[str, list[Event]] = {kind.plural: [] for kind in KINDS}
        self.on_change: Callable[[Change], None] = lambda change: None
        self._clock = clock
        self.version = 0
        self._made: dict[Name, int] = {}

    # For the world around the operators

    def get(self, kind: Kind, name: str) -> Object | None:
        """The object itself: do not change it, put a copy."""
        return self.objects.get((kind.plural, name))

    def all(self, kind: Kind) -> list[Object]:
        """All objects of a kind, by name."""
        return [thing for (plural, _), thing in sorted(self.objects.items()) if plural == kind.plural]

    def uids(self) -> set[str]:
        """uids of all that exists."""
        return {thing["metadata"]["uid"] for thing in self.objects.values()}

    def create(self, actor: str, kind: Kind, body: Object) -> Object:
        """Create an object that is not there."""
        status, thing = self._create(actor, kind, copied(body))
        assert status < 300, thing
        return thing

    def put(self, actor: str, kind: Kind, thing: Object) -> None:
        """Replace an object, status and all."""
        self._store(actor, kind, copied(thing))

    def remove(self, actor: str, kind: Kind, name: str) -> None:
        """Delete an object, as kubectl does."""
        self._delete(actor, kind, name, {})

    def finalize(self, actor: str, kind: Kind, name: str) -> None:
        """It is gone now."""
        self._drop(actor, kind, name)

    # For the operators

    def handle(self, actor: str, request: Request) -> Answer:
        """Carry a request out."""
        kind, name, subresource = self._parsed(request.path)
        body = copied(request.body) if request.body is not None else {}
        if request.method == "GET":
            return self._read(kind, name, request.query)
        if request.method == "POST":
            return self._create(actor, kind, body)
        assert name is not None
        kept = self.objects.get((kind.plural, name))
        if kept is None:
            return _problem(404, "NotFound", f"{kind.plural} {name!r} not found")
        if request.method == "DELETE":
            return self._delete(actor, kind, name, body.get("preconditions") or {})
        wanted = body.get("metadata") or {}
        if wanted.get("uid", kept["metadata"]["uid"]) != kept["metadata"]["uid"]:
            return _problem(409, "Conflict", "the uid is another one")
        if wanted.get("resourceVersion", kept["metadata"]["resourceVersion"]) != kept["metadata"]["resourceVersion"]:
            return _problem(409, "Conflict", f"{kind.plural} {name!r} has been modified")
        if request.method == "PUT":
            if subresource == "status":
                new = {**copied(kept), "status": body.get("status")}
            else:
                new = {**body, "status": kept.get("status")} if kind.plural in WITH_STATUS else body
        elif request.content_type == "application/merge-patch+json":
            new = _merged(copied(kept), body)
        else:
            new = _applied(copied(kept), body)
        return 200, copied(self._store(actor, kind, new))

    def _parsed(self, path: str) -> tuple[Kind, str | None, str | None]:
        parts = path.split("/")
        plurals = {kind.plural: kind for kind in KINDS}
        at = next(n for n, part in enumerate(parts) if part in plurals)
        rest = parts[at + 1 :]
        return plurals[parts[at]], rest[0] if rest else None, rest[1] if len(rest) > 1 else None

    def _read(self, kind: Kind, name: str | None, query: Mapping[str, str]) -> Answer:
        if name is not None:
            kept = self.objects.get((kind.plural, name))
            return (200, copied(kept)) if kept is not None else _problem(404, "NotFound", name)
        terms = [term.split("=") for term in query.get("labelSelector", "").split(",") if term]
        found = [thing for thing in self.all(kind) if all(labels_of(thing).get(k) == v for k, v in terms)]
        return 200, {"metadata": {}, "items": copied(found)}

    def _create(self, actor: str, kind: Kind, body: Object) -> Answer:
        metadata = body["metadata"]
        key = (kind.plural, metadata["name"])
        if key in self.objects:
            return _problem(409, "AlreadyExists", f"{kind.plural} {metadata['name']!r} already exists")
        self._made[key] = self._made.get(key, 0) + 1
        metadata |= {
            "namespace": self.namespace,
            "uid": f"{metadata['name']}-{kind.plural[0]}{self._made[key]}",
            "creationTimestamp": metadata.get("creationTimestamp") or self._clock(),
            "generation": 1,
        }
        if actor.startswith("operator") and kind.plural in WITH_STATUS:
            body.pop("status", None)
        return 201, copied(self._store(actor, kind, body))

    def _store(self, actor: str, kind: Kind, thing: Object) -> Object:
        key = (kind.plural, thing["metadata"]["name"])
        before = self.objects.get(key)
        if before is not None:
            thing["metadata"]["generation"] = before["metadata"]["generation"] + (
                before.get("spec") != thing.get("spec")
            )
            thing["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            if thing == before:
                self.on_change(Change(actor, kind.plural, key[1], before, before))
                return before
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = thing
        self.watched[kind.plural].append(Event("MODIFIED" if before else "ADDED", thing))
        self.on_change(Change(actor, kind.plural, key[1], before, thing))
        return thing

    def _delete(self, actor: str, kind: Kind, name: str, preconditions: Mapping[str, str]) -> Answer:
        kept = self.objects[kind.plural, name]
        if preconditions.get("uid", kept["metadata"]["uid"]) != kept["metadata"]["uid"]:
            return _problem(409, "Conflict", "the uid is another one")
        if kind.plural in GRACEFUL:
            if not kept["metadata"].get("deletionTimestamp"):
                dying = copied(kept)
                dying["metadata"]["deletionTimestamp"] = self._clock()
                self._store(actor, kind, dying)
        else:
            self._drop(actor, kind, name)
        return 200, {}

    def _drop(self, actor: str, kind: Kind, name: str) -> None:
        self.version += 1
        gone = self.objects.pop((kind.plural, name))
        self.watched[kind.plural].append(Event("DELETED", gone))
        self.on_change(Change(actor, kind.plural, name, gone, None))


def copied(thing: Any) -> Any:
    """A deep copy of JSON. Texts come first: most of an object is texts."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, dict):
        return {key: value if isinstance(value, str) else copied(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [value if isinstance(value, str) else copied(value) for value in thing]
    return copied(dict(thing)) if isinstance(thing, Mapping) else thing


def _problem(status: int, reason: str, message: str) -> Answer:
    return status, {"reason": reason, "message": message}


def _text(answer: Object) -> bytes:
    return f'{{"reason": "{answer["reason"]}", "message": "refused"}}'.encode()


def _merged(thing: Any, patch: Mapping[str, Any]) -> Any:
    """RFC 7386."""
    for key, value in patch.items():
        if value is None:
            thing.pop(key, None)
        elif isinstance(value, Mapping):
            thing[key] = _merged(thing.get(key) if isinstance(thing.get(key), dict) else {}, value)
        else:
            thing[key] = value
    return thing


def _applied(thing: Any, wanted: Any) -> Any:
    """Server-side apply by one manager whom nobody contradicts: lists of named things are merged by name."""
    if isinstance(wanted, Mapping):
        thing = thing if isinstance(thing, dict) else {}
        return thing | {key: _applied(thing.get(key), value) for key, value in wanted.items()}
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], Mapping):
        by_name = {item["name"]: item for item in thing or []}
        by_name |= {item["name"]: _applied(by_name.get(item["name"]), item) for item in wanted}
        return list(by_name.values())
    return wanted
