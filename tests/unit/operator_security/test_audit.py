"""How the audit log is judged."""

from pathlib import Path
from typing import Any

from cluster.configs import audit_policy
from rights.audit import Right, compare, granted, read

RULES = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create"]},
    {"apiGroups": ["bluetune.dev"], "resources": ["finetuningtasks/status"], "verbs": ["update"]},
]
OPERATOR = "system:serviceaccount:any:bluetune"


def event(verb: str, resource: str, group: str = "", user: str = OPERATOR, **more: Any) -> dict[str, Any]:
    return {"verb": verb, "user": {"username": user}, "objectRef": {"resource": resource, "apiGroup": group}, **more}


def test_used_unused_and_missing() -> None:
    status = event("update", "finetuningtasks", "bluetune.dev")
    status["objectRef"]["subresource"] = "status"
    events = [
        event("get", "jobs", "batch"),
        event("get", "jobs", "batch"),
        status,
        event("list", "secrets"),
        event("delete", "pods", annotations={"authorization.k8s.io/decision": "forbid"}),
        event("create", "jobs", "batch", annotations={"authorization.k8s.io/decision": "forbid"}),  # the role was gone
        event("delete", "nodes", user="admin"),
        event("create", "jobs", "batch", user="system:serviceaccount:any:another"),
        {"verb": "get", "user": {"username": OPERATOR}, "requestURI": "/apis"},
    ]
    found = compare(events, granted(RULES))
    assert found.used[Right("batch", "jobs", "get")] == 2
    assert found.unused == [Right("batch", "jobs", "create")]
    assert found.missing == [Right("", "pods", "delete"), Right("", "secrets", "list")]
    assert "       0  create jobs.batch" in found.table()
    assert found.table().count("MISSING") == 2


def test_a_log_in_several_files_whose_last_line_is_cut(tmp_path: Path) -> None:
    (tmp_path / "audit-1.log").write_text('{"a": 1}\n')
    (tmp_path / "audit.log").write_text('{"a": 2}\n{"a": 3')
    assert [each["a"] for each in read(tmp_path)] == [1, 2]


def test_the_log_holds_no_bodies() -> None:
    assert "Request" not in audit_policy().replace("RequestReceived", "")
