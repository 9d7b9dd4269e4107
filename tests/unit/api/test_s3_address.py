"""What patterns cannot say of a store's address is said by name before anything is sent."""

import pytest

from bluetune_api.objectstore import StoreError
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation


@pytest.mark.parametrize(
    ("endpoint", "bucket", "says"),
    [("s3.example:99999", "models", "invalid port"), ("s3.example", "10.0.0.1", "must not be formatted as an IP")],
)
def test_an_address_that_cannot_be_one(endpoint: str, bucket: str, says: str) -> None:
    with pytest.raises(StoreError, match=f"{says}.*correct spec.store"):
        S3Store(StoreLocation(endpoint=endpoint, bucket=bucket), access_key="a", secret_key="b")
