"""Of two models that claim the same, the later one waits."""

from typing import Any

import pytest

from bluetune_operator.core.models.claims import claimed_by_another


def model(
    name: str,
    created: int,
    *,
    prefix: str | None = None,
    deployment: str | None = None,
    namespace: str = "ns",
    uid: str | None = None,
    base: bool = False,
    holds: str | None = None,
) -> dict[str, Any]:
    spec: dict[str, Any] = {"store": {"endpoint": "minio:9000", "bucket": "b", "prefix": prefix or name}}
    if deployment:
        spec["serving"] = {"deployment": deployment, "container": "c"}
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{namespace}-{name}",
        "creationTimestamp": f"2026-01-01T00:00:{created:02d}Z",
    }
    status = ({"baseVersion": "v000000000001"} if base else {}) | ({"deployment": holds} if holds else {})
    return {"metadata": metadata, "spec": spec, "status": status}


JUNE = model("june", 6, prefix="p", deployment="x", base=True, holds="x")


@pytest.mark.parametrize(
    ("case", "mine", "others", "words"),
    [
        ("alone", model("a", 1), [], None),
        ("all different", model("a", 2, deployment="x"), [model("b", 1, deployment="y")], None),
        ("same prefix, later", model("a", 2, prefix="p"), [model("b", 1, prefix="p")], "prefix s3://b/p"),
        ("same prefix, earlier", model("a", 1, prefix="p"), [model("b", 2, prefix="p")], None),
        ("same prefix, elsewhere", model("a", 2, prefix="p"), [model("b", 1, prefix="p", namespace="o")], "'o/b'"),
        ("same Deployment, later", model("a", 2, deployment="x"), [model("b", 1, deployment="x")], "Deployment x"),
        ("same name, elsewhere", model("a", 2, deployment="x"), [model("b", 1, deployment="x", namespace="o")], None),
        ("itself before it came back", model("a", 2, uid="new"), [model("a", 1, uid="old")], None),
        ("same second: the uid decides", model("b", 1, prefix="p"), [model("a", 1, prefix="p")], "prefix"),
        (
            "an older one is edited to its Deployment",
            JUNE,
            [model("old", 1, deployment="x", base=True, holds="y")],
            None,
        ),
        (
            "that older one",
            model("old", 1, deployment="x", base=True, holds="y"),
            [JUNE],
            "which has claimed it before",
        ),
        ("an older one whose base is not published", JUNE, [model("old", 1, prefix="p")], None),
        ("that older one, too", model("old", 1, prefix="p"), [JUNE], "which has claimed it before"),
        (
            "it held another Deployment",
            model("a", 2, deployment="x", holds="y"),
            [model("b", 1, deployment="x")],
            "older",
        ),
        (
            "the holder names another now",
            model("a", 2, deployment="x"),
            [model("b", 1, deployment="y", holds="x")],
            None,
        ),
        ("once published, owner.json says", model("a", 2, prefix="p", base=True), [model("b", 1, prefix="p")], None),
        ("same second, other side", model("a", 1, prefix="p"), [model("b", 1, prefix="p")], None),
    ],
)
def test_claims(case: str, mine: dict[str, Any], others: list[dict[str, Any]], words: str | None) -> None:
    failure = claimed_by_another(mine, [*others, mine])
    assert (failure is None) == (words is None), case
    assert (words or "") in (failure.message if failure else "")


@pytest.mark.parametrize(
    ("case", "uri", "first"),
    [
        ("it serves the younger one's store, whose status was lost", "s3://b/young/versions/v1/", "young"),
        ("it serves the older one's store", "s3://b/old/versions/v1/", "old"),
        ("it serves another store", "s3://b/oldest/versions/v1/", "old"),
        ("it serves none", None, "old"),
    ],
)
def test_where_no_status_says_who_holds_a_deployment_it_says_so_itself(case: str, uri: str | None, first: str) -> None:
    container = {"name": "c", "env": [{"name": "BLUETUNE_URI", "value": uri}] if uri else []}
    deployment = {"spec": {"template": {"spec": {"containers": [container]}}}}
    models = [model("old", 1, deployment="x"), model("young", 6, deployment="x")]
    refused = [m["metadata"]["name"] for m in models if claimed_by_another(m, models, deployment)]
    assert refused == [name for name in ("old", "young") if name != first], case
