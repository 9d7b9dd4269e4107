"""A bucket of one's own on a server of the cluster, from inside its network."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject

from .errors import ClusterError
from .s3 import Server


@dataclass(frozen=True)
class Bucket:
    """A bucket and what opens it; `client` is minio-py, for arranging and looking at objects."""

    name: str
    server: Server
    client: Minio


def client_of(server: Server) -> Minio:
    """minio-py for a server, with timeouts and an end to its retries."""
    retries = urllib3.Retry(5, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504))
    http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=30), retries=retries)
    return Minio(
        server.address, access_key=server.access_key, secret_key=server.secret_key, secure=False, http_client=http
    )


@contextmanager
def new_bucket(server: Server) -> Iterator[Bucket]:
    """An empty bucket for the time of a `with`; removed with all that is in it."""
    bucket = Bucket(f"test-{secrets.token_hex(6)}", server, client_of(server))
    bucket.client.make_bucket(bucket.name)
    try:
        yield bucket
    finally:
        found = bucket.client.list_objects(bucket.name, recursive=True)
        if errors := list(
            bucket.client.remove_objects(bucket.name, (DeleteObject(o.object_name or "") for o in found))
        ):
            raise ClusterError(f"bucket {bucket.name} on {server.kind} cannot be emptied: {errors[0]}")
        bucket.client.remove_bucket(bucket.name)
