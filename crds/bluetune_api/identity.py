"""Workload identity: keys that a cloud hands to a pod for its service account, in place of a Secret's.

What the pod finds in its environment, put there by the cloud's webhook, is that of the AWS SDKs:
`AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` (IAM roles for service accounts, and any token service that speaks
AssumeRoleWithWebIdentity, with `AWS_ENDPOINT_URL_STS`), or `AWS_CONTAINER_CREDENTIALS_FULL_URI` (EKS Pod Identity).
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import urllib3
from minio.credentials.credentials import Credentials
from minio.credentials.providers import IamAwsProvider, Provider
from minio.error import MinioException

from bluetune_api.objectstore import StoreDenied

SIGNS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
_STATUS = re.compile(r"HTTP status code (\d{3})")


class NoTokenService(urllib3.exceptions.HTTPError):
    """The token service did not answer; worth another try."""


class WorkloadIdentity(Provider):
    """Keys by workload identity, renewed before they expire. Its errors never hold the token."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._sts = environment.get("AWS_ENDPOINT_URL_STS") or None
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        self._inner = IamAwsProvider(
            custom_endpoint=self._sts if environment.get(SIGNS[0]) else None,
            http_client=urllib3.PoolManager(timeout=timeout, retries=False),
        )

    def retrieve(self) -> Credentials:
        """The keys. Raises StoreDenied, NoTokenService."""
        # the client's errors quote the address, and the token is a part of it: hence `from None`
        try:
            return self._inner.retrieve()
        except urllib3.exceptions.HTTPError as error:
            raise NoTokenService(f"{self._where()} did not answer ({type(error).__name__})") from None
        except (MinioException, ValueError, KeyError) as error:
            status = _STATUS.search(str(error))
            if status and int(status[1]) >= 500:
                raise NoTokenService(f"{self._where()} answered HTTP {status[1]}") from None
            said = f"answered HTTP {status[1]}" if status else "could not be asked, or gave no keys"
            raise StoreDenied(
                f"no keys by workload identity: {self._where()} {said}; check the service account's role and what it"
                " trusts"
            ) from None

    def _where(self) -> str:
        host = urlsplit(self._sts).netloc if self._sts else ""
        return f"the token service {host}".rstrip()


def workload_identity(environment: Mapping[str, str]) -> WorkloadIdentity | None:
    """The provider for a pod with workload identity; None for one without."""
    return WorkloadIdentity(environment) if any(environment.get(name) for name in SIGNS) else None
