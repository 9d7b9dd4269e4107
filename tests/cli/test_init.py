"""`bluetune init` beside a real store and a real Deployment; the API server judges what it wrote."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bluetune.__main__ import main
from bluetune.core.errors import Exit
from cluster.buckets import Bucket
from cluster.kubectl import Kubectl

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "search"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "search"}},
        "template": {
            "metadata": {"labels": {"app": "search"}},
            "spec": {"containers": [{"name": "server", "image": "x", "ports": [{"containerPort": 7997}]}]},
        },
    },
}


def test_what_is_written_names_what_is_there_and_the_api_server_takes_it(
    resources: None,
    kubectl: Kubectl,
    namespace: str,
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def put(key: str, *rows: dict[str, Any]) -> None:
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        bucket.client.put_object(bucket.name, key, BytesIO(data), len(data))

    put("shop/items/a.jsonl", {"sku": "1", "name": "Shoe"}, {"sku": "2", "name": "Boot"})
    put("shop/clickstream/b1/part.jsonl", {"search_query": "shoe", "events": [{"event_type": "tap"}]})
    put("shop/clickstream/b1/_SUCCESS")
    put("shop/clickstream/b2/part.jsonl", {})
    kubectl.apply(DEPLOYMENT)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.server.secret_key)
    place = ("--store", f"s3://{bucket.name}/shop", "--endpoint", f"http://{bucket.server.address}")
    code = main(["init", "shop", *place, "--deployment", "search", "--into", str(tmp_path), "-n", namespace])
    told = capsys.readouterr()
    assert code == Exit.DONE, told.err
    for said in ("containers server", "fields sku, name", "complete batches: b1", "passed over: 'b2' (no _SUCCESS)"):
        assert said in told.err
    method, model = (tmp_path / name for name in ("method.yaml", "model.yaml"))
    assert "begins with these types: tap (1)" in method.read_text()
    assert "idField: sku" in method.read_text()
    assert "port: 7997" in model.read_text()
    for path in (method, model):
        kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(tmp_path / "task.yaml"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert main(["init", "shop", *place, "--into", str(tmp_path / "2"), "-n", namespace]) == Exit.DONE
    assert "the store was not looked at: " in capsys.readouterr().err
