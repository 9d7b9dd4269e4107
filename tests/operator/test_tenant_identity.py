"""A store without a Secret is opened as the tenant: by a token of the model's ServiceAccount, which MinIO exchanges."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin

from cluster import s3
from cluster.kubectl import Kubectl
from cluster.lifecycle import Cluster
from cluster.openid import issuer, trusting_minio

Fixture = Any
pytestmark = pytest.mark.timeout(300)

AUDIENCE = "sts.amazonaws.com"
BUCKET = "models"


@pytest.fixture
def minio(cluster: Cluster) -> Iterator[s3.Server]:
    """A MinIO that takes the cluster's tokens, and has a policy for each subject of one."""
    keys = Kubectl()("get", "--raw", "/openid/v1/jwks").encode()
    with (
        issuer(keys, "https://kubernetes.default.svc") as address,
        trusting_minio(cluster.state, address, AUDIENCE, BUCKET, claim_name="sub") as server,
    ):
        yield server


def may_use(server: s3.Server, subject: str, prefix: str) -> None:
    """A policy for a subject: its prefix, and nothing else."""
    objects = {"Effect": "Allow", "Action": ["s3:*Object"], "Resource": [f"arn:aws:s3:::{BUCKET}/{prefix}/*"]}
    listing = {
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{BUCKET}"],
        "Condition": {"StringLike": {"s3:prefix": [f"{prefix}/*"]}},
    }
    keys = StaticProvider(server.access_key, server.secret_key)
    admin = MinioAdmin(endpoint=server.address, credentials=keys, secure=False)
    admin.policy_add(subject, policy={"Version": "2012-10-17", "Statement": [objects, listing]})


def ready(thing: dict[str, Any]) -> dict[str, Any]:
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready"), {})


def test_a_tenant_opens_its_own_prefix_and_no_other_and_the_operator_lends_it_nothing(
    operator: Fixture, world: Fixture, minio: s3.Server
) -> None:
    may_use(minio, f"system:serviceaccount:{operator.namespace}:trainer", "ours")
    operator.end()
    # its own keys open everything: that no tenant gains by them is what this shows
    own = {"AWS_ACCESS_KEY_ID": minio.access_key, "AWS_SECRET_ACCESS_KEY": minio.secret_key}
    operator.start(BLUETUNE_WORKLOAD_IDENTITY="true", AWS_ENDPOINT_URL_STS=minio.endpoint, **own)

    def model(name: str, prefix: str, account: str = "trainer") -> dict[str, Any]:
        made: dict[str, Any] = world.model(name)
        store = {"endpoint": minio.address, "bucket": BUCKET, "prefix": prefix, "secure": False}
        made["spec"]["store"] = store | {"serviceAccountName": account}
        return made

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer"}}
    stranger = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger"}}
    world.kubectl.apply(account, stranger, world.method())
    world.kubectl.apply(model("ours", "ours"), model("theirs", "theirs"))
    world.kubectl.apply(model("strange", "strange", "stranger"), model("nobody", "nobody", "nobody"))

    client = Minio(minio.address, minio.access_key, minio.secret_key, secure=False)

    def has_owner(prefix: str) -> bool:
        found = client.list_objects(BUCKET, f"{prefix}/", recursive=True)
        return f"{prefix}/owner.json" in [each.object_name for each in found]

    world.until("emodel/ours", lambda o: has_owner("ours"))
    said = world.until("emodel/theirs", lambda o: ready(o).get("reason") == "StoreDenied")
    assert "theirs" in ready(said)["message"]
    world.until("emodel/strange", lambda o: ready(o).get("reason") == "StoreDenied")
    said = world.until("emodel/nobody", lambda o: ready(o).get("reason") == "ServiceAccountNotFound")
    assert "'nobody'" in ready(said)["message"]
    assert not any(map(has_owner, ("theirs", "strange", "nobody")))


def test_the_operators_identity_opens_what_is_listed_and_nothing_else(
    operator: Fixture, world: Fixture, minio: s3.Server
) -> None:
    entry = {
        "namespace": operator.namespace,
        "endpoint": minio.address,
        "bucket": BUCKET,
        "prefix": "a",
        "secure": False,
    }
    operator.end()
    operator.start(
        BLUETUNE_OPERATOR_IDENTITY_ALLOW=json.dumps([entry]),
        AWS_ACCESS_KEY_ID=minio.access_key,
        AWS_SECRET_ACCESS_KEY=minio.secret_key,
    )
    world.kubectl.apply(world.method())
    for name in ("a", "b"):
        made: dict[str, Any] = world.model(name)
        store = {"endpoint": minio.address, "bucket": BUCKET, "prefix": name, "secure": False}
        made["spec"]["store"] = store | {"serviceAccountName": "default"}
        world.kubectl.apply(made)
    said = world.until("emodel/b", lambda o: ready(o).get("reason") == "WorkloadIdentityUnavailable")
    assert "operatorIdentity.allow" in ready(said)["message"]
    client = Minio(minio.address, minio.access_key, minio.secret_key, secure=False)
    world.until("emodel/a", lambda o: "a/owner.json" in [e.object_name for e in client.list_objects(BUCKET, "a/")])
