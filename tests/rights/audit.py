"""What the operator asked the API server for, from its audit log, beside what the chart grants it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNT = ("system:serviceaccount:", ":bluetune")
"""How the user names of operators begin and end, in whatever namespace they are."""


class Right(NamedTuple):
    """A verb on a resource."""

    group: str
    resource: str
    """With its subresource: `jobs`, `finetuningtasks/status`."""
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}"


@dataclass(frozen=True)
class Comparison:
    """Rights used and granted."""

    used: Counter[Right]
    """How often each was asked for and allowed."""
    denied: Counter[Right]
    """How often each was asked for and refused for want of the right."""
    granted: frozenset[Right]

    @property
    def unused(self) -> list[Right]:
        """Granted for nothing."""
        return sorted(self.granted - set(self.used))

    @property
    def missing(self) -> list[Right]:
        """Asked for without being the operator's by the chart, whether other roles gave it or it was refused.

        A refusal of what the chart grants is none: an uninstalled operator that still lives, or an API server that has
        just started and has not read its roles yet.
        """
        return sorted((set(self.used) | set(self.denied)) - self.granted)

    def table(self) -> str:
        """For people."""
        lines = []
        for right in sorted(self.granted | set(self.used) | set(self.denied)):
            word = "UNUSED" if right in self.unused else "MISSING" if right in self.missing else ""
            lines.append(f"{self.used[right]:>8}  {right!s:<60}{word}".rstrip())
        return "\n".join(lines)


def granted(rules: Iterable[Mapping[str, Any]]) -> frozenset[Right]:
    """The rights in the rules of a role."""
    return frozenset(
        Right(group, resource, verb)
        for rule in rules
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for verb in rule["verbs"]
    )


def compare(events: Iterable[Mapping[str, Any]], rights: frozenset[Right]) -> Comparison:
    """Judge the events of an audit log (audit.k8s.io/v1); requests that are about no resource are discovery."""
    used: Counter[Right] = Counter()
    denied: Counter[Right] = Counter()
    for event in events:
        about = event.get("objectRef")
        if about is None or not _is_operator(event) or not about.get("resource"):
            continue
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        right = Right(about.get("apiGroup", ""), resource, event["verb"])
        refused = (event.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid"
        (denied if refused else used)[right] += 1
    return Comparison(used, denied, rights)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The events in the files of an audit log; the last line of each may be cut."""
    for path in sorted(folder.glob("*.log")):
        with path.open(errors="replace") as file:
            for line in file:
                if line.endswith("}\n"):
                    yield json.loads(line)


def _is_operator(event: Mapping[str, Any]) -> bool:
    name = str(event["user"].get("username", ""))
    return name.startswith(ACCOUNT[0]) and name.endswith(ACCOUNT[1])
