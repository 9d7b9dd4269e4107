"""A tenant's identity: a token of the ServiceAccount that a model names, exchanged for keys of that account's role."""

import asyncio
import math
import time
from dataclasses import dataclass

from bluetune_api.identity import WebToken, WorkloadIdentity, assumed_role
from bluetune_api.reasons import Reason
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.core.errors import ApiError, ApiUnavailable
from bluetune_operator.core.kinds import SERVICE_ACCOUNTS, Object, uid_of
from bluetune_operator.core.tenant_identity import ROLE_ANNOTATION, IdentitySettings, role_of, token_service
from bluetune_operator.core.times import moment_of, seconds_since

ACCOUNT_SECONDS = 30.0
"""How long a ServiceAccount that was read is believed."""
TOKEN_SECONDS = 3600
"""What tokens are asked for; the API server may give less."""
RENEWED_AT = 0.5
"""The share of a token's time after which the next one is asked for."""


class NoIdentity(Exception):
    """A tenant's identity cannot be had; `reason` is a condition's, the message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class _Account:
    """What is kept of a ServiceAccount."""

    version: str
    """Its uid and role: another one has other keys."""
    token: WebToken
    identity: WorkloadIdentity
    read: float
    renew: float
    """When it was read, and when its token must be renewed."""


class TenantIdentities:
    """Identities of ServiceAccounts, kept while they are used."""

    def __init__(self, kube: KubeApi, settings: IdentitySettings) -> None:
        self._kube = kube
        self._settings = settings
        self._accounts: dict[tuple[str, str, str], _Account] = {}
        self._reading: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def of(self, namespace: str, name: str, region: str, *, fresh: bool = False) -> tuple[str, WorkloadIdentity]:
        """The identity of a ServiceAccount, and what changes when it is another one. Its token is renewed in time.

        Raises NoIdentity.
        """
        where = (namespace, name, region)
        async with self._reading.setdefault(where, asyncio.Lock()):
            now, kept = time.monotonic(), self._accounts.get(where)
            if kept is None or fresh or now >= kept.read + ACCOUNT_SECONDS:
                kept = self._accounts[where] = await self._read(namespace, name, region, kept)
            if now >= kept.renew:
                await self._renew(namespace, name, kept)
            return kept.version, kept.identity

    def tidy(self, since: float) -> None:
        """Keep nothing of accounts that were last read before."""
        for where in [where for where, account in self._accounts.items() if account.read < since]:
            if not self._reading[where].locked():
                del self._accounts[where], self._reading[where]
        for where in [where for where in self._reading if where not in self._accounts]:
            if not self._reading[where].locked():
                del self._reading[where]

    async def _read(self, namespace: str, name: str, region: str, kept: _Account | None) -> _Account:
        now = time.monotonic()
        try:
            account = await self._kube.get(SERVICE_ACCOUNTS, namespace, name)
        except ApiError as error:
            raise _refused(error, namespace, name) from None
        if account is None:
            raise _missing(namespace, name)
        role = role_of(account)
        if role is None and self._settings.sts is None:
            raise NoIdentity(
                "WorkloadIdentityUnavailable",
                f"ServiceAccount {name!r} (store.serviceAccountName) has no annotation {ROLE_ANNOTATION}, so that"
                " nothing says which role opens the store; add it",
            )
        version = f"{uid_of(account)}/{role or ''}"
        if kept is not None and kept.version == version:
            kept.read = now
            return kept
        token = WebToken("", TOKEN_SECONDS)
        sts, session = token_service(region, self._settings), f"bluetune-{namespace}.{name}"[:64]
        identity = assumed_role(token, sts=sts, role=role, session=session)
        return _Account(version, token, identity, read=now, renew=-math.inf)

    async def _renew(self, namespace: str, name: str, account: _Account) -> None:
        try:
            answer = await self._kube.request_token(
                SERVICE_ACCOUNTS, namespace, name, audience=self._settings.audience, seconds=TOKEN_SECONDS
            )
        except ApiError as error:
            raise _missing(namespace, name) if error.status == 404 else _refused(error, namespace, name) from None
        value, seconds = _token(answer)
        account.token.value, account.token.seconds = value, int(seconds)
        account.renew = time.monotonic() + RENEWED_AT * seconds


def _token(answer: Object) -> tuple[str, float]:
    """The token, and how long it is valid. By the API server's clock alone: this one's may be wrong."""
    status = answer.get("status") or {}
    value, ends = str(status.get("token") or ""), status.get("expirationTimestamp")
    made = answer["metadata"].get("creationTimestamp") if answer.get("metadata") else None
    if not value:
        raise ApiUnavailable("the API server answered a TokenRequest without a token")
    if not ends or not made:
        return value, TOKEN_SECONDS
    return value, max(1.0, seconds_since(made, moment_of(ends)))


def _missing(namespace: str, name: str) -> NoIdentity:
    return NoIdentity(
        "ServiceAccountNotFound",
        f"ServiceAccount {name!r} (store.serviceAccountName) does not exist in namespace {namespace!r}; create it",
    )


def _refused(error: ApiError, namespace: str, name: str) -> NoIdentity:
    if error.status in (401, 403):
        return NoIdentity(
            "WorkloadIdentityUnavailable",
            f"the operator may not ask for tokens of ServiceAccount {name!r} in namespace {namespace!r}: set"
            " workloadIdentity.enabled in the chart, and name the account in workloadIdentity.serviceAccountNames",
        )
    return NoIdentity(
        "WorkloadIdentityUnavailable",
        f"the API server gives no token of ServiceAccount {name!r} in namespace {namespace!r}: {error.message}",
    )
