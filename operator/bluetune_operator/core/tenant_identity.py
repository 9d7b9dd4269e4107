"""Whose identity opens a store without a Secret: the tenant's, or the operator's own where an administrator says so.

A model names a store and a ServiceAccount. That is a tenant's word: the operator's own keys are never used on it alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError

from bluetune_api.base import ApiModel, Name
from bluetune_api.reading import first_problem
from bluetune_api.store_location import Bucket, Endpoint, Prefix, StoreLocation

AUDIENCE = "sts.amazonaws.com"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
"""On a ServiceAccount: the role that its tokens are exchanged for."""
STS = "AWS_ENDPOINT_URL_STS"
TENANTS, AUDIENCE_VARIABLE, ALLOW = (
    "BLUETUNE_WORKLOAD_IDENTITY",
    "BLUETUNE_IDENTITY_AUDIENCE",
    "BLUETUNE_OPERATOR_IDENTITY_ALLOW",
)


class Allowed(ApiModel):
    """A place that the operator opens for a namespace with its own keys."""

    namespace: Name
    """Namespace of the models."""
    endpoint: Endpoint
    """Host and port, as models write them."""
    bucket: Bucket
    """The bucket."""
    prefix: Prefix = ""
    """This prefix and those below it; empty: the whole bucket."""
    secure: bool = True
    """Whether it speaks https."""


_ALLOWED = TypeAdapter(Annotated[list[Allowed], Field(max_length=1000)])


@dataclass(frozen=True)
class IdentitySettings:
    """What the administrator has set."""

    tenants: bool = False
    """Whether the operator may ask for tokens of ServiceAccounts that models name."""
    audience: str = AUDIENCE
    """Audience of these tokens: they open nothing else, and not the API server."""
    sts: str | None = None
    """Token service that they are exchanged at; None: AWS's, of the store's region."""
    allow: tuple[Allowed, ...] = ()
    """Places that are opened with the operator's own keys."""


def identity_settings(environment: Mapping[str, str]) -> IdentitySettings:
    """Read the environment. Raises ValueError that names the variable."""
    tenants = environment.get(TENANTS) or "false"
    if tenants not in ("true", "false"):
        raise ValueError(f"{TENANTS}={tenants!r}: must be true or false")
    sts = (environment.get(STS) or "").rstrip("/") or None
    if sts is not None and (urlsplit(sts).scheme not in ("http", "https") or not urlsplit(sts).hostname):
        raise ValueError(f"{STS}={sts!r}: must be an address such as https://minio.storage:9000")
    try:
        allow = _ALLOWED.validate_json(environment.get(ALLOW) or "[]")
    except ValidationError as error:
        raise ValueError(f"{ALLOW}: {first_problem(error, 'the list')}") from None
    audience = environment.get(AUDIENCE_VARIABLE) or AUDIENCE
    return IdentitySettings(tenants == "true", audience, sts, tuple(allow))


def operator_may_open(namespace: str, store: StoreLocation, settings: IdentitySettings) -> bool:
    """Whether an administrator lets the operator open a store of a namespace with its own keys."""
    return any(_covers(entry, namespace, store) for entry in settings.allow)


def _covers(entry: Allowed, namespace: str, store: StoreLocation) -> bool:
    same = (entry.namespace, entry.bucket, entry.secure) == (namespace, store.bucket, store.secure)
    below = not entry.prefix or f"{store.prefix}/".startswith(f"{entry.prefix}/")
    return same and below and entry.endpoint.lower() == store.endpoint.lower()


def why_not(namespace: str, store: StoreLocation) -> str:
    """What to say where neither the tenant's identity nor the operator's may open a store."""
    entry = {"namespace": namespace, "endpoint": store.endpoint, "bucket": store.bucket, "prefix": store.prefix}
    return (
        "the store is opened by workload identity (store.serviceAccountName), and this installation has it switched"
        " off; set workloadIdentity.enabled=true in the chart, and the operator asks for tokens of that ServiceAccount;"
        f" or list the place in operatorIdentity.allow, as {json.dumps(entry)}; or name a credentialsSecretRef"
    )


def role_of(account: Mapping[str, Any]) -> str | None:
    """The role that a ServiceAccount's tokens are exchanged for; None if it names none."""
    return (account["metadata"].get("annotations") or {}).get(ROLE_ANNOTATION) or None


def token_service(region: str, settings: IdentitySettings) -> str:
    """Where a token is exchanged: where the administrator says, or at AWS, and never where a tenant says."""
    if settings.sts is not None:
        return settings.sts
    return f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
