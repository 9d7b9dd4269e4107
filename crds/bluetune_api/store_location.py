"""Where an S3 bucket is and how to get in."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from bluetune_api.base import ApiModel, ObjectReference, Rule, SubdomainName, immutable

HOST_AND_PORT = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$"
Endpoint = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=HOST_AND_PORT)]
Bucket = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*$"),
]
Region = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*$")]
Prefix = Annotated[
    str,
    StringConstraints(max_length=256, pattern=r"^([A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)?$"),
]


KmsKeyId = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9:/._-]+$")]


class Encryption(ApiModel):
    """How the store encrypts what is written."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.algorithm == 'aws:kms' || !has(self.kmsKeyId)",
            "kmsKeyId goes with algorithm aws:kms; with AES256 the store has keys of its own",
            lambda e: e.algorithm == "aws:kms" or e.kms_key_id is None,
            "kmsKeyId",
        ),
    )

    algorithm: Literal["aws:kms", "AES256"]
    """`aws:kms`: by a key of the key management service (SSE-KMS). `AES256`: by keys of the store (SSE-S3)."""
    kms_key_id: KmsKeyId | None = None
    """The key: its id, ARN or alias. Absent: the account's default key."""

    def in_words(self) -> str:
        """For messages: what is asked for."""
        return f"encrypted by {self.algorithm}" + (f" with {self.kms_key_id}" if self.kms_key_id else "")


class StoreLocation(ApiModel):
    """A prefix in an S3 bucket: all that a trainer needs besides its keys."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        # no pattern: of one that is not matched the API server says the pattern, and people write addresses here
        Rule(
            f"self.endpoint.matches('{HOST_AND_PORT}')",
            "endpoint is a host and maybe a port, without http:// and without a path, such as minio.storage:9000;"
            " secure says whether it speaks https",
            lambda s: re.fullmatch(HOST_AND_PORT.strip("^$"), s.endpoint) is not None,
            "endpoint",
        ),
    )

    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Host and port of the S3 API, without a scheme, for example `minio.storage:9000`. It may change to another address
    of the same bucket."""
    bucket: Bucket = immutable("Name of the bucket.")
    prefix: Prefix = immutable(
        "Folder in the bucket that belongs to this model alone, without slashes at its ends.", ""
    )
    region: Region = "us-east-1"
    """Region to sign requests for."""
    secure: bool = True
    """Speak https; false means plain http."""
    addressing: Literal["Path", "VirtualHost"] | None = None
    """Where requests name the bucket: in the path (`https://host/bucket`) or in the host's name
    (`https://bucket.host`). Absent: in the host's name for Amazon S3 and Alibaba OSS, in the path for all others."""
    encryption: Encryption | None = None
    """Encryption to ask for with each object that is written, as a bucket's policy may demand. Absent: the bucket's
    default."""

    def uri(self, key: str = "") -> str:
        """`s3://bucket/prefix/key`."""
        return "s3://" + "/".join(part for part in (self.bucket, self.prefix, key) if part)


class StoreSpec(StoreLocation):
    """The store of a model: where it is, and which keys open it."""

    RULES = (
        *StoreLocation.RULES,
        Rule(
            "has(self.credentialsSecretRef) != has(self.serviceAccountName)",
            "set exactly one of credentialsSecretRef (keys in a Secret) and serviceAccountName (workload identity)",
            lambda s: (s.credentials_secret_ref is None) != (s.service_account_name is None),
        ),
    )

    credentials_secret_ref: ObjectReference | None = None
    """Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; temporary ones need `AWS_SESSION_TOKEN`."""
    service_account_name: Annotated[SubdomainName, Field()] | None = None
    """ServiceAccount whose workload identity opens the store, instead of keys: the trainer's pods run as it, and the
    operator acts as it, if the chart's `workloadIdentity.enabled` is set."""
    ca_secret_ref: ObjectReference | None = None
    """Secret whose key `ca.crt` holds the certificate authority of the endpoint."""

    def location(self) -> StoreLocation:
        """Without references to Secrets: what a plan may hold."""
        return StoreLocation(**self.model_dump(include=set(StoreLocation.model_fields)))
