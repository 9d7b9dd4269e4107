"""What bluetune says in a blue Deployment: the few fields it owns, whether they are there, and what is unsafe."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluetune_api import store_layout
from bluetune_api.model import Serving
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.config import Config
from bluetune_operator.core.jobs.build import USER
from bluetune_operator.core.jobs.pod_resources import FETCHER as FETCHER_RESOURCES
from bluetune_operator.core.jobs.pod_resources import filled
from bluetune_operator.core.jobs.store_env import store_env
from bluetune_operator.core.rollout.moves import Failure

FIELD_MANAGER = "bluetune-serving"
VERSION_ANNOTATION, DIGEST_ANNOTATION = "bluetune.dev/version", "bluetune.dev/digest"
FETCHER, MODEL_VOLUME, TMP_VOLUME, CA_VOLUME = "bluetune-fetch", "bluetune-model", "bluetune-tmp", "bluetune-ca"
CA_FOLDER = "/etc/bluetune-ca"
INDEX_URI, INDEX_TABLE, INDEX_ALIAS = "BLUETUNE_INDEX_URI", "BLUETUNE_INDEX_TABLE", "BLUETUNE_INDEX_ALIAS"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Fetcher:
    """The image of the init container that brings the files."""

    image: str
    pull_policy: str = "IfNotPresent"
    fixed_ids: bool = True
    """Whether it names the user that it runs as: beside a server that is root, nothing else makes it another one."""


def fetcher_of(config: Config) -> Fetcher:
    """The operator's own image: the trainer's would bring gigabytes of CUDA to every node that serves."""
    if config.fetcher_image:
        return Fetcher(config.fetcher_image, config.fetcher_image_pull_policy, config.fixed_ids)
    return Fetcher(config.trainer_image, config.trainer_image_pull_policy, config.fixed_ids)


def serving_patch(
    serving: Serving,
    store: StoreSpec,
    namespace: str,
    version: str,
    digest: str,
    fetcher: Fetcher,
    index_env: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The apply configuration of a version: every field that bluetune owns, and no other.

    Server-side apply removes what an earlier configuration owned and this one leaves out, so changing `delivery` is
    clean. `index_env` are the variables that say where the version's index is, if it is not where `serving.index` says.
    """
    env = [
        {"name": "BLUETUNE_VERSION", "value": version},
        {"name": "BLUETUNE_URI", "value": store.uri(store_layout.version(version))},
        {"name": "BLUETUNE_DIGEST", "value": digest},
        *(_index_env(serving, store, version) if index_env is None else index_env),
    ]
    container: dict[str, Any] = {"name": serving.container, "env": env}
    pod: dict[str, Any] = {"containers": [container]}
    if serving.delivery == "InitContainer":
        container["volumeMounts"] = [{"name": MODEL_VOLUME, "mountPath": serving.mount_path}]
        pod["initContainers"] = [_fetch_container(serving, store, version, digest, fetcher)]
        pod["volumes"] = [{"name": MODEL_VOLUME, "emptyDir": {}}, {"name": TMP_VOLUME, "emptyDir": {}}]
        if store.ca_secret_ref is not None:
            pod["volumes"].append({"name": CA_VOLUME, "secret": {"secretName": store.ca_secret_ref.name}})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": serving.deployment, "namespace": namespace},
        "spec": {
            "template": {
                "metadata": {"annotations": {VERSION_ANNOTATION: version, DIGEST_ANNOTATION: digest}},
                "spec": pod,
            }
        },
    }


def _index_env(serving: Serving, store: StoreSpec, version: str) -> list[dict[str, Any]]:
    """Where the index of a version is."""
    if serving.index is None:
        return []
    env = [_index_uri(store, version)]
    if (pgvector := serving.index.target.pgvector) is not None:
        table = pgvector.table_of(version, serving.index.vectors)
        env.append({"name": INDEX_TABLE, "value": f"{pgvector.db_schema}.{table}"})
    if (opensearch := serving.index.target.opensearch) is not None:
        env.append({"name": INDEX_ALIAS, "value": opensearch.alias_of(version, serving.index.vectors)})
    return env


def index_env_of(template: Json, store: StoreSpec, version: str) -> list[dict[str, Any]] | None:
    """Where the index of a version is, by a pod template that bluetune wrote before; None if that cannot be told.

    Of the template, only the table or the alias is taken, and only if it is the name of one of the version's.
    """
    containers = (template.get("spec") or {}).get("containers") or ()
    said = {one.get("name"): one.get("value") for each in containers for one in each.get("env") or ()}
    if INDEX_URI not in said:
        return []
    env = [_index_uri(store, version)]
    names = (
        (INDEX_TABLE, rf"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*_{version}(_[0-9]*h?)?"),
        (INDEX_ALIAS, rf"[a-z][a-z0-9_-]*-{version}(-[0-9]*b?)?"),
    )
    for variable, of_version in names:
        if (name := said.get(variable)) is None:
            continue
        if re.fullmatch(of_version, str(name)) is None:
            return None
        env.append({"name": variable, "value": name})
    return env


def _index_uri(store: StoreSpec, version: str) -> dict[str, Any]:
    return {"name": INDEX_URI, "value": store.uri(store_layout.index(version))}


def _fetch_container(serving: Serving, store: StoreSpec, version: str, digest: str, fetcher: Fetcher) -> dict[str, Any]:
    mount_path, own = serving.mount_path, serving.fetcher
    assert mount_path is not None  # noqa: S101 the API's rule
    ids = dict.fromkeys(("runAsUser", "runAsGroup"), USER) if fetcher.fixed_ids else {}
    env = [*store_env(store), {"name": "HOME", "value": "/tmp"}]  # noqa: S108 the container's
    mounts = [{"name": MODEL_VOLUME, "mountPath": mount_path}, {"name": TMP_VOLUME, "mountPath": "/tmp"}]  # noqa: S108
    if store.ca_secret_ref is not None:
        env.append({"name": "BLUETUNE_CA_FILE", "value": f"{CA_FOLDER}/ca.crt"})
        mounts.append({"name": CA_VOLUME, "mountPath": CA_FOLDER})
    return {
        "name": FETCHER,
        "image": fetcher.image,
        "imagePullPolicy": fetcher.pull_policy,
        "command": ["bluetune-trainer", "fetch", "--version", version, "--digest", digest, "--into", mount_path],
        "env": env,
        "resources": filled(own.resources if own else None, FETCHER_RESOURCES).wire(),
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            **ids,
        },
        "volumeMounts": mounts,
    }


def served_uri(deployment: Json | None, container: str) -> str | None:
    """Address of the version that a Deployment's pods are told; None if they are told none."""
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    for each in (template.get("spec") or {}).get("containers") or ():
        if each.get("name") == container:
            found = (variable for variable in each.get("env") or () if variable.get("name") == "BLUETUNE_URI")
            uri: str | None = next((variable.get("value") for variable in found), None)
            return uri
    return None


def tells(deployment: Json, patch: Json) -> bool:
    """Whether a Deployment's pod template already says what the patch says.

    The fetcher's image is left out, and so are optional variables that it does not have: a new release of bluetune must
    not restart every blue Deployment.
    """
    return _within(patch["spec"]["template"], deployment.get("spec", {}).get("template", {}))


def _within(wanted: Any, live: Any, path: str = "") -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return False
        skipped = ("image", "imagePullPolicy", "resources", "securityContext")
        return all(k in skipped or (k in live and _within(v, live[k], k)) for k, v in wanted.items())
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], Mapping):
        if not isinstance(live, list):
            return False
        key = "mountPath" if path == "volumeMounts" else "name"
        by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
        return all(
            _within(item, by_key[item[key]]) if item.get(key) in by_key else _is_optional(item) for item in wanted
        )
    return bool(wanted == live)


def _is_optional(item: Json) -> bool:
    return bool(((item.get("valueFrom") or {}).get("secretKeyRef") or {}).get("optional"))


def cannot_patch(deployment: Json | None, serving: Serving) -> Failure | None:
    """Why the Deployment cannot be told to serve a version at all, if so."""
    name = serving.deployment
    if deployment is None:
        text = f"Deployment {name} (serving.deployment) does not exist in the model's namespace; create it"
        return Failure("DeploymentNotFound", text)
    names = [c.get("name", "") for c in _containers(deployment)]
    if serving.container not in names:
        text = f"Deployment {name} has no container {serving.container!r} (serving.container), only {', '.join(names)}"
        return Failure("ContainerNotFound", text)
    if deployment.get("spec", {}).get("paused"):
        text = f"Deployment {name} is paused; resume it: kubectl rollout resume deployment/{name}"
        return Failure("DeploymentPaused", text)
    return None


def unsafe(deployment: Json, serving: Serving) -> Failure | None:
    """Why replacing the pods would drop requests, and what to change; None if it would not."""
    spec = deployment.get("spec", {})
    problems = [*_strategy_problems(spec), *_pod_problems(spec, serving)]
    if not problems:
        return None
    return Failure("ServingUnsafe", f"Deployment {serving.deployment} would drop requests: {'; '.join(problems)}")


def _strategy_problems(spec: Json) -> list[str]:
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        return ["strategy Recreate stops all pods before new ones start; set spec.strategy.type to RollingUpdate"]
    replicas = spec.get("replicas", 1)
    rolling = strategy.get("rollingUpdate") or {}
    gone = most_unavailable(replicas, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"))
    if replicas > 0 and gone >= replicas:
        return [
            f"its rolling update may take all {replicas} pods away at once;"
            " give spec.strategy.rollingUpdate maxUnavailable: 0 and maxSurge: 1"
        ]
    return []


def _pod_problems(spec: Json, serving: Serving) -> list[str]:
    pod = spec.get("template", {}).get("spec", {})
    container = next((c for c in pod.get("containers", []) if c.get("name") == serving.container), None)
    if container is None:
        return []
    problems = []
    if not container.get("readinessProbe"):
        problems.append(
            f"container {serving.container} has no readinessProbe, so pods get requests before they have loaded the"
            " version; add one that succeeds only once the server can answer"
        )
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    seconds = (hook.get("sleep") or {}).get("seconds", 0)
    if not hook or ("sleep" in hook and seconds <= 0):
        problems.append(
            f"container {serving.container} has no preStop hook, so it stops while nodes still send it requests; add"
            " lifecycle.preStop.sleep.seconds: 5"
        )
    grace = pod.get("terminationGracePeriodSeconds", 30)
    if grace <= seconds or grace == 0:
        problems.append(
            f"terminationGracePeriodSeconds={grace} leaves no time to answer requests after preStop's {seconds} s; set"
            f" it to {seconds + 25} or to what the longest request needs"
        )
    return problems


def most_unavailable(replicas: int, surge: int | str, unavailable: int | str) -> int:
    """Pods that a rolling update may take away: percentages of the surge are rounded up, of the others down, and if
    both come to nothing one pod may go (as the Deployment controller does)."""
    extra, gone = _share(surge, replicas, up=True), _share(unavailable, replicas, up=False)
    return 1 if extra == 0 and gone == 0 else gone


def _share(value: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = float(value.rstrip("%")) * replicas / 100
    return math.ceil(exact) if up else math.floor(exact)


def unexpanded(deployment: Json, patch: Json) -> str | None:
    """Which of the container's variables Kubernetes does not expand: they refer to one that bluetune sets, and stand
    before it. Server-side apply adds new variables at the end, and their order is nobody's field."""
    (wanted,) = patch["spec"]["template"]["spec"]["containers"]
    ours = {variable["name"] for variable in wanted.get("env") or ()}
    container = next((c for c in _containers(deployment) if c.get("name") == wanted["name"]), {})
    env = [v for v in container.get("env") or () if isinstance(v, Mapping)]
    places = {variable.get("name"): place for place, variable in enumerate(env)}
    for place, variable in enumerate(env):
        for name in re.findall(r"(?<!\$)\$\(([A-Za-z0-9_.-]+)\)", str(variable.get("value") or "")):
            if name in ours and places.get(name, len(env)) > place:
                return (
                    f"variable {variable.get('name')} refers to $({name}), which stands after it and is not expanded;"
                    f" name {name} before it in the manifest, without a value"
                )
    return None


def _containers(deployment: Json) -> Sequence[Json]:
    containers: Sequence[Json] = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return containers
