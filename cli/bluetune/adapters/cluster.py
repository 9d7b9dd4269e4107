"""The API server, by the user's own kubeconfig and rights: plain dicts, every call bounded in time and in tries."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

from bluetune.core.errors import CliError, Exit
from bluetune.core.kinds import MODELS, PODS, REVIEWS, Kind, Object, name_of
from bluetune.core.refusals import ApiRefusal, not_found, refusal
from bluetune_api.retries import with_retries

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
FOLLOW_SECONDS = 300.0
"""Longest silence of a log that is followed, before it is asked for again."""
ATTEMPTS = 3
PATIENT_SECONDS = 60.0
"""How long a watch waits for an API server that does not answer."""
PAGE = 500
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Cluster:
    """One context of a kubeconfig, and one namespace.

    Every method may raise ApiRefusal, and CliError where nothing answers. A write is sent once, because its caller
    knows what a second one would do.
    """

    def __init__(self, context: str | None = None, namespace: str | None = None) -> None:
        """Load the kubeconfig ($KUBECONFIG, ~/.kube/config), or what a pod is given. Raises CliError."""
        from kubernetes.client.api_client import ApiClient  # takes a second, which --help need not wait for
        from kubernetes.client.configuration import Configuration

        self._configuration = Configuration()
        default = self._load(context)
        self.namespace = namespace or default
        self._http = ApiClient(self._configuration).rest_client.pool_manager

    def _load(self, context: str | None) -> str:
        """Fill the configuration; returns the context's namespace."""
        from kubernetes import config

        file = os.environ.get("KUBECONFIG") or None
        if file is None and context is None and not Path(config.KUBE_CONFIG_DEFAULT_LOCATION).expanduser().exists():
            try:
                config.load_incluster_config(client_configuration=self._configuration)  # type: ignore[no-untyped-call]
                return POD_NAMESPACE.read_text().strip()
            except (config.ConfigException, OSError):
                raise CliError(
                    "there is no kubeconfig: set KUBECONFIG, or write ~/.kube/config", Exit.UNREACHABLE
                ) from None
        try:
            contexts, active = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
            names = [str(found["name"]) for found in contexts]
            if context is not None and context not in names:
                raise CliError(f"the kubeconfig has no context {context}: it has {', '.join(sorted(names))}")
            config.load_kube_config(file, context, self._configuration)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
            why = " ".join(str(error).split())
            raise CliError(f"the kubeconfig cannot be used: {why}", Exit.UNREACHABLE) from None
        chosen = active if context is None else next(found for found in contexts if found["name"] == context)
        return str(chosen["context"].get("namespace") or "default")

    def get(self, kind: Kind, name: str, *, patient: bool = False) -> Object:
        """An object of the namespace. Raises CliError, with the names that there are if the user may list them."""
        try:
            return self._read("get", kind, self.namespace, name, patient=patient)
        except ApiRefusal as error:
            if error.status != 404 or error.reason != "NotFound":
                raise
            missing = error
        try:
            names = [name_of(found) for found in self.list(kind)]
        except CliError:  # the names only help; a user may have the right to get and not to list
            raise missing from None
        if name in names:  # it came meanwhile
            return self._read("get", kind, self.namespace, name, patient=patient)
        raise not_found(kind, name, self.namespace, names)

    def find(self, kind: Kind, name: str) -> Object | None:
        """An object of the namespace, or None."""
        try:
            return self._read("get", kind, self.namespace, name)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise

    def list(
        self,
        kind: Kind,
        *,
        labels: Mapping[str, str] | None = None,
        everywhere: bool = False,
        patient: bool = False,
    ) -> list[Object]:
        """All objects of a kind in the namespace, by label; `everywhere`: in all namespaces."""
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{name}={value}" for name, value in labels.items())
        found: list[Object] = []
        while True:
            page = self._read("list", kind, None if everywhere else self.namespace, query=query, patient=patient)
            found += ({"kind": kind.name, **item} for item in page.get("items") or [])
            more = page["metadata"].get("continue")
            if not more:
                return found
            query["continue"] = more

    def create(self, kind: Kind, manifest: Object) -> Object:
        """Make an object. A field that the cluster's definitions do not know is refused."""
        query = {"fieldValidation": "Strict", "fieldManager": "bluetune-cli"}
        return self._send("create", "POST", kind, None, query, manifest)

    def patch(self, kind: Kind, name: str, patch: Object) -> Object:
        """Change fields by a merge patch, strictly as well."""
        query = {"fieldValidation": "Strict", "fieldManager": "bluetune-cli"}
        return self._send("patch", "PATCH", kind, name, query, patch, content_type="application/merge-patch+json")

    def may(self, verb: str, kind: Kind, subresource: str) -> bool:
        """Whether the user has a right in the namespace."""
        asked = {"verb": verb, "group": kind.group, "resource": kind.plural, "namespace": self.namespace}
        if subresource:
            asked["subresource"] = subresource
        review = {
            "apiVersion": f"{REVIEWS.group}/{REVIEWS.version}",
            "kind": REVIEWS.name,
            "spec": {"resourceAttributes": asked},
        }
        return bool(self._send("create", "POST", REVIEWS, None, {}, review)["status"].get("allowed"))

    def schemas(self) -> Object:
        """OpenAPI v3 of bluetune's group, as the API server serves it to anybody who is logged in."""
        path = f"/openapi/v3/apis/{MODELS.group}/{MODELS.version}"
        return self._answered("get", "GET", path, MODELS, self.namespace, None, None, "")

    def groups(self) -> Sequence[str]:
        """Names of the API groups that the cluster serves."""
        found = self._answered("get", "GET", "/apis", MODELS, self.namespace, None, None, "")
        return [str(group["name"]) for group in found.get("groups") or []]

    def log(self, pod: str, container: str, *, follow: bool, since: str | None = None) -> Iterator[str]:
        """Lines of a container's log, each after its time and a blank.

        Raises:
            ApiRefusal: the pod is gone (404), or has not started (400).
            urllib3.exceptions.HTTPError: the connection broke, or nothing came for FOLLOW_SECONDS.
        """
        query = {"container": container, "timestamps": "true", "follow": "true" if follow else "false"}
        if since is not None:
            query["sinceTime"] = since
        path = PODS.path(self.namespace, pod, "log")
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=FOLLOW_SECONDS if follow else READ_SECONDS)
        answer = self._request("GET", f"{path}?{urlencode(query)}", None, "", timeout, stream=True)
        try:
            if answer.status >= 300:
                text = answer.read().decode(errors="replace")
                raise refusal(answer.status, text, verb="get", kind=PODS, namespace=self.namespace, name=pod)
            rest = b""
            for chunk in answer.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if rest:
                yield rest.decode(errors="replace")
        finally:
            answer.release_conn() if answer.closed else answer.close()

    def _read(
        self,
        verb: str,
        kind: Kind,
        namespace: str | None,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        patient: bool = False,
    ) -> Object:
        """A read, which may be tried again."""
        url = kind.path(namespace, name) + (f"?{urlencode(query)}" if query else "")

        def once() -> Object:
            return self._answered(verb, "GET", url, kind, namespace or "", name, None, "")

        attempts, patience = (1000, PATIENT_SECONDS) if patient else (ATTEMPTS, 10.0)
        return with_retries(once, retryable=_passes, attempts=attempts, patience_seconds=patience)

    def _send(
        self,
        verb: str,
        method: str,
        kind: Kind,
        name: str | None,
        query: Mapping[str, str],
        body: Object,
        content_type: str = "application/json",
    ) -> Object:
        url = f"{kind.path(self.namespace, name)}?{urlencode(query)}"
        return self._answered(verb, method, url, kind, self.namespace, name, body, content_type)

    def _answered(
        self,
        verb: str,
        method: str,
        url: str,
        kind: Kind,
        namespace: str,
        name: str | None,
        body: Object | None,
        content_type: str,
    ) -> Object:
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        sent = "" if method == "GET" else "; look whether it has done what you asked before you ask again"
        try:
            answer = self._request(method, url, body, content_type, timeout)
        except urllib3.exceptions.HTTPError as error:
            raise CliError(
                f"the API server {self._configuration.host} does not answer: {_cause(error)}{sent}", Exit.UNREACHABLE
            ) from error
        if answer.status >= 300:
            text = answer.data.decode(errors="replace")
            raise refusal(answer.status, text, verb=verb, kind=kind, namespace=namespace, name=name)
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CliError(
                f"the API server {self._configuration.host} did not answer with JSON; is a proxy in between?{sent}",
                Exit.UNREACHABLE,
            )
        return found

    def _request(
        self,
        method: str,
        url: str,
        body: Object | None,
        content_type: str,
        timeout: urllib3.Timeout,
        *,
        stream: bool = False,
    ) -> Any:
        headers = {"Accept": "application/json, */*", "User-Agent": "bluetune"}
        # asking for the settings also renews a token that is about to expire
        token: Any = self._configuration.auth_settings().get("BearerToken")
        if token and token["value"]:
            headers[token["key"]] = token["value"]
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), content_type
        return self._http.request(
            method,
            self._configuration.host + url,
            body=data,
            headers=headers,
            retries=False,
            timeout=timeout,
            preload_content=not stream,
        )


def _passes(error: Exception) -> bool:
    """Whether the same read may be answered a moment later."""
    return isinstance(error, CliError) and error.code == Exit.UNREACHABLE


def _cause(error: Exception) -> str:
    """The innermost reason, without addresses of objects."""
    text = str(error).rsplit(">: ", 1)[-1]
    return text or type(error).__name__
