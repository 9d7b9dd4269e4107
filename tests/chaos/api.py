"""The API server as the suite's own administrator sees it: past the relays, and patient while it is restarted."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from bluetune_operator.core.kinds import JOBS, LEASES, MODELS, PODS, TASKS, Kind
from cluster.paths import API_SERVER

Object = dict[str, Any]
PATIENCE_SECONDS = 40.0
RECORDED = (TASKS, MODELS, JOBS, PODS, LEASES)


class Refused(Exception):
    """The API server's answer, with its status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status} {text[:300]}")
        self.status = status


class Api:
    """JSON in and out."""

    def __init__(self, pki: Path) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._http = urllib3.PoolManager(ssl_context=context, maxsize=16, retries=False)

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Object:
        """One request; no answer is asked for again until PATIENCE_SECONDS. Raises Refused."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                data = json.dumps(body).encode() if body is not None else None
                headers = {"Content-Type": kind}
                answer = self._http.request(method, API_SERVER + path, body=data, headers=headers, timeout=10)
                if answer.status < 300:
                    found: Object = json.loads(answer.data)
                    return found
                if answer.status < 500 and answer.status != 429:
                    raise Refused(answer.status, answer.data.decode(errors="replace"))
                problem = f"HTTP {answer.status}"
            except urllib3.exceptions.HTTPError as error:
                problem = str(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}: {problem}")
            time.sleep(0.2)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object, or None."""
        try:
            return self.call("GET", kind.path(namespace, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace, with apiVersion and kind."""
        query = f"?labelSelector={selector}" if selector else ""
        items: list[Object] = self.call("GET", kind.path(namespace) + query)["items"]
        return [{"apiVersion": kind.api_version, "kind": kind.name} | item for item in items]

    def create(self, kind: Kind, body: Object, namespace: str | None = None) -> Object:
        """Create an object; one that is there already is returned (the answer to a first try may have been lost)."""
        try:
            return self.call("POST", kind.path(namespace), body)
        except Refused as error:
            if error.status != 409:
                raise
            return self.call("GET", kind.path(namespace, body["metadata"]["name"]))

    def patch(self, kind: Kind, namespace: str, name: str, body: Object) -> bool:
        """Merge patch; False if there is no such object."""
        try:
            self.call("PATCH", kind.path(namespace, name), body, "application/merge-patch+json")
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    def delete(self, kind: Kind, namespace: str, name: str, **options: Any) -> bool:
        """Delete an object; False if it is gone."""
        try:
            self.call("DELETE", kind.path(namespace, name), {"propagationPolicy": "Background", **options})
        except Refused as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(self, kind: Kind, namespace: str, since: str, seconds: int) -> Iterator[Object]:
        """Events from a resourceVersion on. Raises Expired, and HTTPError for any other answer that is none."""
        path = f"{kind.path(namespace)}?watch=true&resourceVersion={since}&timeoutSeconds={seconds}"
        answer = self._http.request("GET", API_SERVER + path, preload_content=False, timeout=seconds + 5)
        rest = b""
        try:
            if answer.status not in (200, 410):
                raise urllib3.exceptions.HTTPError(f"HTTP {answer.status}")
            for chunk in answer.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for event in (json.loads(line) for line in lines if line):
                    if event.get("type") in (None, "ERROR"):
                        raise Expired(str((event.get("object") or event).get("message")))
                    yield event
        finally:
            answer.close()


class Expired(Exception):
    """The API server does not know the changes from there on any more."""


@dataclass(frozen=True)
class Event:
    """A change, in the one order that etcd gave all of them."""

    revision: int
    kind: str
    type: str
    thing: Object


@dataclass
class Recorder:
    """Everything that happens to what the suite looks at in a namespace."""

    api: Api
    namespace: str
    events: list[Event] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    """Why the record is not whole; such a schedule does not count."""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Before there is anything in the namespace."""
        for kind in RECORDED:
            thread = threading.Thread(target=self._record, args=(kind,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> list[Event]:
        """All events in order. What happened until now is among them."""
        time.sleep(0.5)
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        return sorted(self.events, key=lambda event: event.revision)

    def _record(self, kind: Kind) -> None:
        since, known, away = "0", dict[str, Object](), False
        while not self._over.is_set():
            try:
                if since == "0":
                    since = self._look(kind, known)
                for event in self.api.watch(kind, self.namespace, since, 2):
                    thing = event["object"]
                    since = thing["metadata"]["resourceVersion"]
                    self._add(kind, known, event["type"], thing, since)
                away = False
            except Expired as error:
                if not away:
                    self.gaps.append(f"{kind.plural}: {error}")
                    return
                since = "0"  # a restarted server begins anew, and nothing changed while it was away
            except (urllib3.exceptions.HTTPError, OSError, ValueError):
                away = True
                time.sleep(0.1)

    def _look(self, kind: Kind, known: dict[str, Object]) -> str:
        """What is there now, as events if it is news; the revision of that."""
        found = self.api.call("GET", kind.path(self.namespace))
        since: str = found["metadata"]["resourceVersion"]
        there = {item["metadata"]["uid"]: {"kind": kind.name} | item for item in found["items"]}
        for uid, thing in there.items():
            revision = thing["metadata"]["resourceVersion"]
            if uid not in known or known[uid]["metadata"]["resourceVersion"] != revision:
                self._add(kind, known, "MODIFIED", thing, revision)
        for uid in set(known) - set(there):
            self._add(kind, known, "DELETED", known[uid], since)
        return since

    def _add(self, kind: Kind, known: dict[str, Object], change: str, thing: Object, revision: str) -> None:
        self.events.append(Event(int(revision), kind.name, change, thing))
        if change == "DELETED":
            known.pop(thing["metadata"]["uid"], None)
        else:
            known[thing["metadata"]["uid"]] = thing
