"""Options of a store, asked of a MinIO that has keys for encryption and a domain for the names of its buckets."""

import base64
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import StoreDenied
from bluetune_api.s3 import S3Store
from bluetune_api.s3_transfers import PART_BYTES
from bluetune_api.store_location import Encryption, StoreLocation
from cluster import s3
from cluster.lifecycle import Cluster

KEY, BUCKET, DOMAIN, REGION = "shop-key", "models", "s3.bluetune.test", "eu-south-7"
KMS, OWN = Encryption(algorithm="aws:kms", kms_key_id=KEY), Encryption(algorithm="AES256")


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[s3.Server]:
    """The MinIO, with an empty bucket."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    options = {"MINIO_KMS_SECRET_KEY": f"{KEY}:{key}", "MINIO_DOMAIN": DOMAIN, "MINIO_SITE_REGION": REGION}
    with s3.minio_of_a_test(cluster.state, BUCKET, **options) as made:
        yield made


def opened(server: s3.Server, **options: Any) -> S3Store:
    usual = {"endpoint": server.address, "bucket": BUCKET, "secure": False, "region": REGION}
    location = StoreLocation(**usual | options)
    return S3Store(location, access_key=server.access_key, secret_key=server.secret_key, attempts=1)


def encryption_of(server: s3.Server, key: str) -> tuple[str | None, str | None]:
    """What the server says that an object is encrypted by: the algorithm, and the key's name."""
    headers = opened(server)._client.stat_object(BUCKET, key).metadata or {}
    algorithm = headers.get("x-amz-server-side-encryption")
    name = headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    return algorithm, name.rpartition("/")[2].removeprefix("arn:aws:kms:") if name else None


@pytest.mark.parametrize(
    ("encryption", "said"), [(None, (None, None)), (OWN, ("AES256", None)), (KMS, ("aws:kms", KEY))]
)
def test_each_way_to_write_asks_for_the_encryption(
    server: s3.Server, tmp_path: Path, encryption: Encryption | None, said: tuple[str | None, str | None]
) -> None:
    store = opened(server, encryption=encryption, prefix=f"{said[0]}".replace(":", "-").lower())
    large = tmp_path / "large"
    large.write_bytes(bytes(PART_BYTES) + b"and a second part")
    store.put("put", b"1")
    assert store.create("created", b"2")
    assert not store.create("created", b"3")
    store.upload("uploaded", large)
    store.download("uploaded", tmp_path / "again")
    assert (store.get("put"), store.get("created")) == (b"1", b"2")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()
    assert {encryption_of(server, store._key(key)) for key in ("put", "created", "uploaded")} == {said}


def test_a_key_that_the_store_does_not_have_is_an_error_that_names_it(server: s3.Server) -> None:
    store = opened(server, encryption=Encryption(algorithm="aws:kms", kms_key_id="another"))
    with pytest.raises(StoreDenied, match=r"(?i)with another: kms.*; check spec\.store\.encryption"):
        store.put("a", b"1")


def test_a_wrong_region_is_an_error_that_names_the_field_and_the_servers_region(server: s3.Server) -> None:
    store = opened(server, region="us-east-1")
    for ask in (lambda: store.put("a", b"1"), lambda: store.create("a", b"1"), lambda: store.get("a")):
        with pytest.raises(StoreDenied, match=rf"{REGION}.*spec\.store\.region"):
            ask()


def test_a_bucket_is_named_in_the_hosts_name_or_in_the_path(
    server: s3.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names_lead_to(server, monkeypatch)
    hosts = {"Path": DOMAIN, "VirtualHost": f"{BUCKET}.{DOMAIN}", None: DOMAIN}
    for addressing, host in hosts.items():
        asked.clear()
        store = opened(server, endpoint=f"{DOMAIN}:{server.port}", addressing=addressing, prefix=f"by-{addressing}")
        store.put("a", b"1")
        assert store.create("b c", b"2")
        (tmp_path / "f").write_bytes(bytes(PART_BYTES + 1))
        store.upload("f", tmp_path / "f")
        assert sorted(found.key for found in store.list("")) == ["a", "b c", "f"]
        assert set(asked) == {host}


def names_lead_to(server: s3.Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lead every name to the server, as a DNS record for `*.s3.bluetune.test` does; returns the names asked for."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def lead(host: str, *rest: Any, **named: Any) -> Any:
        asked.append(host)
        return look_up(server.host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lead)
    return asked
