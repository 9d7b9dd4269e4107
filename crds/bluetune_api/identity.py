"""Workload identity: keys that a cloud hands to a pod for its service account, in place of a Secret's.

What the pod finds in its environment, put there by the cloud's webhook, is that of the AWS SDKs:
`AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` (IAM roles for service accounts, and any token service that speaks
AssumeRoleWithWebIdentity, with `AWS_ENDPOINT_URL_STS`), or `AWS_CONTAINER_CREDENTIALS_FULL_URI` (EKS Pod Identity).
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio.credentials.credentials import Credentials
from minio.credentials.providers import IamAwsProvider, Provider, WebIdentityProvider
from minio.error import MinioException

from bluetune_api.objectstore import StoreDenied

SIGNS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
PASSING = {"IDPCommunicationError", "STSIAMNotInitialized", "Throttling", "ThrottlingException"}
"""Codes of a token service that answers HTTP 400 and means "later": it cannot reach the issuer, MinIO has not yet
loaded its policies, too many ask."""
AMBIGUOUS, AMBIGUOUS_SECONDS = "InvalidParameterValue", 3.0
"""A role that is not there, and also what a MinIO answers that has just begun and knows no roles yet: "later" for so
long."""
_CHECK = "check the service account's role and what it trusts"
_CODE = re.compile(rb"<Code>\s*(\w{1,64})\s*</Code>")


class NoTokenService(urllib3.exceptions.HTTPError):
    """The token service did not answer; worth another try."""


class _Refused(Exception):
    """What the token service answered in place of keys."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"answered HTTP {status}{f' ({code})' if code else ''}")
        self.passing = status >= 500 or status == 429 or code in PASSING
        self.ambiguous = code == AMBIGUOUS


class _TokenService(urllib3.PoolManager):
    """Keeps the code that a refusal holds: the client knows the status alone."""

    def urlopen(self, *arguments: Any, **named: Any) -> urllib3.BaseHTTPResponse:
        response = super().urlopen(*arguments, **named)
        if response.status < 400:
            return response
        code = _CODE.search(response.data)
        raise _Refused(response.status, code[1].decode() if code else "")


class WorkloadIdentity(Provider):
    """Keys by workload identity, renewed before they expire. Its errors never hold the token.

    Args:
        inner: asks for the keys.
        sts: address of the token service, for errors; None: the cloud's own.
    """

    def __init__(self, inner: Provider, sts: str | None) -> None:
        self._inner, self._sts = inner, sts
        self._refused: float | None = None  # since when it is

    def retrieve(self) -> Credentials:
        """The keys. Raises StoreDenied, NoTokenService."""
        # the client's errors quote the address, and the token is a part of it: hence `from None`
        try:
            keys = self._inner.retrieve()
            self._refused = None
            return keys
        except urllib3.exceptions.HTTPError as error:
            raise NoTokenService(f"{self._where()} did not answer ({type(error).__name__})") from None
        except _Refused as refused:
            self._refused = self._refused or time.monotonic()
            young = time.monotonic() - self._refused < AMBIGUOUS_SECONDS
            if refused.passing or (refused.ambiguous and young):
                raise NoTokenService(f"{self._where()} {refused}; if it stays so, {_CHECK}") from None
            raise self._denied(str(refused)) from None
        except (MinioException, ValueError, KeyError):
            raise self._denied("could not be asked, or gave no keys") from None

    def _denied(self, said: str) -> StoreDenied:
        return StoreDenied(f"no keys by workload identity: {self._where()} {said}; {_CHECK}")

    def _where(self) -> str:
        host = urlsplit(self._sts).netloc if self._sts else ""
        return f"the token service {host}".rstrip()


def workload_identity(environment: Mapping[str, str]) -> WorkloadIdentity | None:
    """The provider for a pod with workload identity; None for one without."""
    if not any(environment.get(name) for name in SIGNS):
        return None
    sts = environment.get("AWS_ENDPOINT_URL_STS") or None
    inner = IamAwsProvider(custom_endpoint=sts if environment.get(SIGNS[0]) else None, http_client=_http())
    return WorkloadIdentity(inner, sts)


@dataclass
class WebToken:
    """A signed token, which its owner replaces before it expires."""

    value: str = field(repr=False)
    seconds: int
    """How long it was valid when it was made: keys that it is exchanged for are asked for as long."""


def assumed_role(token: WebToken, *, sts: str, role: str | None, session: str) -> WorkloadIdentity:
    """Keys of a role, by a token, whatever this process's own environment says.

    Args:
        token: exchanged whenever keys are needed and the last ones have expired.
        sts: address of the token service.
        role: to assume; None: the token service finds it by what the token says.
        session: what the token service's log calls these keys.
    """
    inner = WebIdentityProvider(
        jwt_provider_func=lambda: {"access_token": token.value, "expires_in": str(token.seconds)},
        sts_endpoint=sts,
        role_arn=role,
        role_session_name=session,
        http_client=_http(),
    )
    return WorkloadIdentity(inner, sts)


def _http() -> _TokenService:
    return _TokenService(timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), retries=False)
