"""Whose keys open a store without a Secret: the tenant's, by real HTTP; never the operator's on a tenant's word."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from kubernetes.client.configuration import Configuration

from bluetune_api.objectstore import StoreDenied
from bluetune_api.store_location import StoreSpec
from bluetune_operator.adapters import tenant_identity as adapter
from bluetune_operator.adapters.kube import KubeApi
from bluetune_operator.adapters.store import IDLE_SECONDS, StoreProblem, Stores
from bluetune_operator.core.kinds import Object
from bluetune_operator.core.tenant_identity import (
    ROLE_ANNOTATION,
    Allowed,
    IdentitySettings,
    identity_settings,
    operator_may_open,
    token_service,
)

ROLE = "arn:aws:iam::1:role/search"
OWN = {"AWS_ACCESS_KEY_ID": "operators-own", "AWS_SECRET_ACCESS_KEY": "x"}


class Site:
    """The API server, the token service and the store, at one address; keeps what it was asked."""

    def __init__(self) -> None:
        self.account: Object | None = {
            "metadata": {"name": "trainer", "uid": "u", "annotations": {ROLE_ANNOTATION: ROLE}}
        }
        self.refusal: tuple[int, Object] | None = None
        """What a TokenRequest is answered with."""
        self.sts_refuses = False
        self.tokens: list[Object] = []
        """TokenRequests."""
        self.exchanged: list[dict[str, str]] = []
        """What the token service was asked."""
        self.signed: list[str] = []
        """Authorization headers that the store was sent."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                url = urlparse(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, data = outer.answer(self.command, url.path, url.query, body, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, method: str, path: str, query: str, body: bytes, headers: Any) -> tuple[int, bytes]:
        if path.endswith("/serviceaccounts/trainer/token"):
            self.tokens.append({"path": path, **json.loads(body)})
            if self.refusal is not None:
                return self.refusal[0], json.dumps(self.refusal[1]).encode()
            made, ends = "2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"  # by a clock of its own
            status = {"token": f"token-{len(self.tokens)}", "expirationTimestamp": ends}
            return 201, json.dumps({"metadata": {"creationTimestamp": made}, "status": status}).encode()
        if "/serviceaccounts/" in path:
            if self.account is None:
                return 404, json.dumps({"reason": "NotFound", "message": "no"}).encode()
            return 200, json.dumps(self.account).encode()
        if path == "/" and method == "POST":
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            self.exchanged.append(asked)
            if self.sts_refuses:
                return 403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
            keys = (
                f"<AccessKeyId>keys-of-{asked['WebIdentityToken']}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                "<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
            )
            name = "AssumeRoleWithWebIdentity"
            xml = f"<{name}Response><{name}Result><Credentials>{keys}</Credentials></{name}Result></{name}Response>"
            return 200, xml.encode()
        self.signed.append(headers.get("Authorization") or "")
        return 200, b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


def model(site: Site, *, prefix: str = "products") -> Object:
    store = {"endpoint": site.address, "bucket": "search", "prefix": prefix, "secure": False}
    return {"metadata": {"name": "m", "namespace": "n"}, "spec": {"store": store | {"serviceAccountName": "trainer"}}}


def tenants(site: Site, **more: Any) -> IdentitySettings:
    return IdentitySettings(tenants=True, sts=site.url, **more)


def used(site: Site, settings: IdentitySettings, what: Callable[[Stores], Any]) -> Any:
    async def scenario() -> Any:
        configuration = Configuration()
        configuration.host = site.url
        kube = KubeApi(configuration)
        stores = Stores(kube, identity=settings, environment=OWN)
        try:
            return await what(stores)
        finally:
            stores.close()
            kube.close()

    return asyncio.run(scenario())


async def written(stores: Stores, model: Object) -> None:
    await (await stores.open(model)).put("key", b"x")


def test_a_store_is_opened_with_a_token_of_the_models_service_account_and_never_with_the_operators_keys(
    site: Site,
) -> None:
    used(site, tenants(site), lambda stores: written(stores, model(site)))
    (asked,) = site.tokens
    assert asked["path"] == "/api/v1/namespaces/n/serviceaccounts/trainer/token"
    assert asked["spec"] == {"audiences": ["sts.amazonaws.com"], "expirationSeconds": 3600}
    (exchange,) = site.exchanged
    assert exchange["Action"] == "AssumeRoleWithWebIdentity"
    assert (exchange["WebIdentityToken"], exchange["RoleArn"]) == ("token-1", ROLE)
    assert exchange["RoleSessionName"] == "bluetune-n.trainer"
    assert site.signed
    assert all("Credential=keys-of-token-1/" in header for header in site.signed)


def test_another_audience_is_asked_for_where_the_administrator_says(site: Site) -> None:
    used(site, tenants(site, audience="minio"), lambda stores: written(stores, model(site)))
    assert site.tokens[0]["spec"]["audiences"] == ["minio"]


def test_a_token_is_renewed_in_time_and_not_before(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(adapter.time, "monotonic", lambda: now[0])

    async def scenario(stores: Stores) -> list[int]:
        counts = []
        for seconds in (0, 1700, 101, 1600, 101):
            now[0] += seconds
            await stores.open(model(site))
            counts.append(len(site.tokens))
        return counts

    assert used(site, tenants(site), scenario) == [1, 1, 2, 2, 2]


def test_another_role_of_the_account_opens_the_store_anew(site: Site) -> None:
    async def scenario(stores: Stores) -> None:
        await written(stores, model(site))
        assert site.account is not None
        site.account["metadata"]["annotations"][ROLE_ANNOTATION] = "another"
        await (await stores.open(model(site), fresh=True)).put("key", b"x")

    used(site, tenants(site), scenario)
    assert [exchange["RoleArn"] for exchange in site.exchanged] == [ROLE, "another"]


def test_accounts_of_namespaces_that_are_gone_are_not_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(adapter.time, "monotonic", lambda: now[0])

    async def scenario(stores: Stores) -> list[int]:
        for number in range(20):
            preview = model(site)
            preview["metadata"]["namespace"] = f"preview-{number}"
            await stores.open(preview)
            now[0] += 60.0
        kept = (stores._accounts._accounts, stores._accounts._reading)
        many = len(kept[0])
        now[0] += 10 * IDLE_SECONDS
        await stores.open(model(site))
        return [many, *map(len, kept)]

    many, accounts, locks = used(site, tenants(site), scenario)
    assert many <= 2 * IDLE_SECONDS / 60 + 1
    assert (accounts, locks) == (1, 1)


FORBIDDEN = (403, {"reason": "Forbidden", "message": "cannot create resource serviceaccounts/token"})
GONE = (404, {"reason": "NotFound", "message": "not found"})
INVALID = (422, {"reason": "Invalid", "message": "audiences are not allowed"})


@pytest.mark.parametrize(
    ("account", "refusal", "sts", "reason", "part"),
    [
        (None, None, True, "ServiceAccountNotFound", "'trainer' .* does not exist in namespace 'n'"),
        ({}, None, False, "WorkloadIdentityUnavailable", "has no annotation eks.amazonaws.com/role-arn"),
        ({ROLE_ANNOTATION: ROLE}, FORBIDDEN, True, "WorkloadIdentityUnavailable", "workloadIdentity.enabled"),
        ({ROLE_ANNOTATION: ROLE}, GONE, True, "ServiceAccountNotFound", "create it"),
        ({ROLE_ANNOTATION: ROLE}, INVALID, True, "WorkloadIdentityUnavailable", "audiences are not allowed"),
    ],
)
def test_an_account_that_cannot_be_used_says_why(
    site: Site, account: Any, refusal: Any, sts: bool, reason: str, part: str
) -> None:
    site.account = None if account is None else {"metadata": {"name": "trainer", "uid": "u", "annotations": account}}
    site.refusal = refusal
    settings = IdentitySettings(tenants=True, sts=site.url if sts else None)
    with pytest.raises(StoreProblem, match=part) as raised:
        used(site, settings, lambda stores: stores.open(model(site)))
    assert raised.value.reason == reason
    assert site.signed == []


def test_an_account_without_a_role_may_suffice_to_a_token_service_of_ones_own(site: Site) -> None:
    site.account = {"metadata": {"name": "trainer", "uid": "u"}}
    used(site, tenants(site), lambda stores: written(stores, model(site)))
    assert "RoleArn" not in site.exchanged[0]


def test_a_role_that_does_not_trust_the_account_is_a_denial_that_shows_no_token(site: Site) -> None:
    site.sts_refuses = True
    with pytest.raises(StoreDenied, match=r"HTTP 403 \(AccessDenied\)") as raised:
        used(site, tenants(site), lambda stores: written(stores, model(site)))
    assert "token-1" not in str(raised.value)


def test_without_either_nothing_is_opened_and_nobody_asked(site: Site) -> None:
    with pytest.raises(StoreProblem, match=r"workloadIdentity\.enabled=true") as raised:
        used(site, IdentitySettings(), lambda stores: stores.open(model(site)))
    assert raised.value.reason == "WorkloadIdentityUnavailable"
    assert f'"endpoint": "{site.address}", "bucket": "search", "prefix": "products"' in str(raised.value)
    assert (site.tokens, site.signed) == ([], [])


@pytest.mark.parametrize(("prefix", "own"), [("products", True), ("products/eu", True), ("secret", False)])
def test_the_operators_keys_open_what_an_administrator_lists_and_nothing_else(
    site: Site, prefix: str, own: bool
) -> None:
    entry = Allowed(namespace="n", endpoint=site.address, bucket="search", prefix="products", secure=False)
    used(site, tenants(site, allow=(entry,)), lambda stores: written(stores, model(site, prefix=prefix)))
    assert all(("Credential=operators-own/" in header) is own for header in site.signed)
    assert bool(site.tokens) is not own


ENTRY = Allowed(namespace="n", endpoint="minio.storage:9000", bucket="search", prefix="products")


@pytest.mark.parametrize(
    ("namespace", "store", "may"),
    [
        ("n", {}, True),
        ("n", {"endpoint": "MINIO.storage:9000"}, True),
        ("n", {"prefix": "products/eu"}, True),
        ("other", {}, False),
        ("n", {"endpoint": "attacker:9000"}, False),
        ("n", {"bucket": "other"}, False),
        ("n", {"prefix": "products-of-others"}, False),
        ("n", {"prefix": "prod"}, False),
        ("n", {"prefix": ""}, False),
        ("n", {"secure": False}, False),
    ],
)
def test_what_an_entry_covers(namespace: str, store: dict[str, Any], may: bool) -> None:
    usual = {"endpoint": "minio.storage:9000", "bucket": "search", "prefix": "products", "serviceAccountName": "t"}
    spec = StoreSpec.model_validate(usual | store)
    assert operator_may_open(namespace, spec, IdentitySettings(allow=(ENTRY,))) is may
    assert operator_may_open(namespace, spec, IdentitySettings()) is False


def test_an_entry_without_a_prefix_covers_its_bucket() -> None:
    entry = ENTRY.model_copy(update={"prefix": ""})
    for prefix in ("", "a", "a/b"):
        spec = StoreSpec(endpoint="minio.storage:9000", bucket="search", prefix=prefix, service_account_name="t")
        assert operator_may_open("n", spec, IdentitySettings(allow=(entry,)))


@pytest.mark.parametrize(
    ("region", "sts", "expected"),
    [
        ("eu-west-1", None, "https://sts.eu-west-1.amazonaws.com"),
        ("cn-north-1", None, "https://sts.cn-north-1.amazonaws.com.cn"),
        ("eu-west-1", "https://minio.storage:9000", "https://minio.storage:9000"),
    ],
)
def test_tokens_go_where_the_administrator_says_or_to_aws(region: str, sts: str | None, expected: str) -> None:
    assert token_service(region, IdentitySettings(sts=sts)) == expected


def test_the_settings_are_read_and_mistakes_name_variable_and_field() -> None:
    assert identity_settings({}) == IdentitySettings()
    found = identity_settings(
        {
            "BLUETUNE_WORKLOAD_IDENTITY": "true",
            "BLUETUNE_IDENTITY_AUDIENCE": "minio",
            "AWS_ENDPOINT_URL_STS": "https://minio.storage:9000/",
            "BLUETUNE_OPERATOR_IDENTITY_ALLOW": json.dumps([ENTRY.wire()]),
        }
    )
    assert found == IdentitySettings(True, "minio", "https://minio.storage:9000", (ENTRY,))
    for name, value, part in (
        ("BLUETUNE_WORKLOAD_IDENTITY", "yes", "true or false"),
        ("AWS_ENDPOINT_URL_STS", "minio:9000", "must be an address"),
        ("BLUETUNE_OPERATOR_IDENTITY_ALLOW", '[{"namespace": "n", "endpoint": "s"}]', "0.bucket"),
        ("BLUETUNE_OPERATOR_IDENTITY_ALLOW", "{", "the list"),
    ):
        with pytest.raises(ValueError, match=f"{name}.*{part}"):
            identity_settings({name: value})
