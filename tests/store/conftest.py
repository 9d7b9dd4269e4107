"""The store's tests run against two independent S3 servers, each with keys."""

import pytest

from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation
from cluster import s3
from cluster.buckets import Bucket
from cluster.lifecycle import Cluster


@pytest.fixture(params=["minio", "seaweedfs"])
def s3_server(cluster: Cluster, request: pytest.FixtureRequest) -> s3.Server:
    """Each test runs once with MinIO and once with SeaweedFS."""
    return cluster.s3(request.param)


@pytest.fixture
def location(bucket: Bucket) -> StoreLocation:
    """A model's prefix in this test's bucket."""
    return StoreLocation(endpoint=bucket.server.address, bucket=bucket.name, prefix="models/shop", secure=False)


@pytest.fixture
def store(location: StoreLocation, s3_server: s3.Server) -> S3Store:
    """The store at `location`, opened with the right keys."""
    return S3Store(location, access_key=s3_server.access_key, secret_key=s3_server.secret_key)
