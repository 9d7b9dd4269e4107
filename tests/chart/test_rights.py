"""The operator's rights are exactly what its code calls: nothing is missing, and nothing is left over."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bluetune_operator.core import kinds
from bluetune_operator.handlers.informer import WATCHED

OPERATOR = Path(kinds.__file__).parents[1]
CALL = re.compile(r"\b_?kube\s*\.(\w+)\(\s*([A-Z_]+)\b")
VERBS = {
    "get": {"get"},
    "list": {"list"},
    "create": {"create"},
    "create_owned": {"create", "get"},
    "request_token": {"create"},
    "replace": {"update"},
    "replace_status": {"update"},
    "merge_patch": {"patch"},
    "json_patch": {"patch"},
    "apply": {"patch"},
    "delete": {"delete"},
}

SUBRESOURCES = {"replace_status": "/status", "request_token": "/token"}

Right = tuple[str, str, str]


def called() -> set[Right]:
    """Group, resource and verb of every call to the API server in the operator's sources."""
    found = {(kind.group, kind.plural, verb) for kind in WATCHED for verb in ("list", "watch")}
    for path in OPERATOR.rglob("*.py"):
        for method, name in CALL.findall(path.read_text()):
            kind: kinds.Kind = getattr(kinds, name)
            resource = kind.plural + SUBRESOURCES.get(method, "")
            found |= {(kind.group, resource, verb) for verb in VERBS[method]}
    return found


def test_the_rights_are_what_the_code_calls(render: Callable[..., list[dict[str, Any]]]) -> None:
    objects = render("rbac.aggregate=false", "workloadIdentity.enabled=true", "kueue.enabled=true")
    (role,) = [each for each in objects if each["kind"] == "ClusterRole"]
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == called()
