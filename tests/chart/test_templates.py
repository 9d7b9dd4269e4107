"""What the chart renders, by helm itself."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.helm import CHART, HelmError, helm

CHECKOUT = Path(__file__).resolve().parents[2]

Render = Callable[..., list[dict[str, Any]]]
MONITORING = ("monitoring.alerts.enabled=true", "monitoring.dashboard.enabled=true")


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def operator_pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = of_kind(objects, "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def environment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = operator_pod(objects)["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def test_the_chart_is_of_the_version_of_the_package() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_every_value_has_a_schema_and_is_in_values_yaml() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(yaml.safe_load((CHART / "values.yaml").read_text()))


def test_the_operator_runs_once_in_a_restricted_pod(render: Render) -> None:
    objects = render()
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = operator_pod(objects)
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/tmp"}
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_a_second_operator_stands_by_on_another_node(render: Render) -> None:
    assert not of_kind(render(), "PodDisruptionBudget")
    assert "affinity" not in operator_pod(render())
    objects = render("replicas=2")
    (deployment,), (budget,) = of_kind(objects, "Deployment"), of_kind(objects, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }
    selector = deployment["spec"]["selector"]
    assert budget["spec"] == {"maxUnavailable": 1, "selector": selector}
    (term,) = operator_pod(objects)["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"] == {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
    chosen = {"nodeAffinity": {}}
    assert operator_pod(render("replicas=2", 'affinity={"nodeAffinity":{}}'))["affinity"] == chosen


def test_the_probes_ask_the_health_port(render: Render) -> None:
    (container,) = operator_pod(render())["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"health": 8080, "metrics": 8081}
    paths = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": {"path": "/healthz", "port": "health"},
        "livenessProbe": {"path": "/healthz", "port": "health"},
        "readinessProbe": {"path": "/readyz", "port": "health"},
    }
    assert environment(render())["BLUETUNE_HEALTH_PORT"] == "8080"
    assert environment(render())["BLUETUNE_MAX_ROLLOUTS"] == "5"


def test_images_are_named_by_version_tag_or_digest(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    digest = "sha256:" + "0" * 64
    objects = render()
    assert operator_pod(objects)["containers"][0]["image"] == f"bluetune-operator:{version}"
    assert environment(objects)["BLUETUNE_TRAINER_IMAGE"] == f"bluetune-trainer:{version}"
    assert environment(objects)["BLUETUNE_FETCHER_IMAGE"] == f"bluetune-operator:{version}"
    objects = render("image.repository=r.example:5000/a/op", "image.tag=x", f"trainerImage.digest={digest}")
    assert environment(objects)["BLUETUNE_FETCHER_IMAGE"] == "r.example:5000/a/op:x"
    assert operator_pod(objects)["containers"][0]["image"] == "r.example:5000/a/op:x"
    assert environment(objects)["BLUETUNE_TRAINER_IMAGE"] == f"bluetune-trainer@{digest}"


def test_the_platform_may_assign_users(render: Render) -> None:
    assert environment(render())["BLUETUNE_FIXED_IDS"] == "true"
    objects = render("pods.fixedIds=false")
    assert environment(objects)["BLUETUNE_FIXED_IDS"] == "false"
    pod = operator_pod(objects)
    for context in (pod["securityContext"], pod["containers"][0]["securityContext"]):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)


def test_the_operator_may_do_what_it_needs_and_no_more(render: Render) -> None:
    objects = [
        each for each in render() if "operator" in each["metadata"]["labels"].get("app.kubernetes.io/component", "")
    ]
    roles = [
        role for role in of_kind(objects, "ClusterRole") if not re.search("-(view|edit)$", role["metadata"]["name"])
    ]
    (role,) = roles
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if resource != "finetuningtasks"
    }
    assert "*" not in str(role["rules"])
    assert allowed["", "secrets"] == {"get"}
    (one,) = [rule for rule in role["rules"] if rule["resources"] == ["namespaces"]]
    assert (one["resourceNames"], one["verbs"]) == (["kube-system"], ["get"])
    assert allowed["", "pods"] == {"list", "watch"}
    assert allowed["apps", "deployments"] == {"get", "list", "watch", "patch"}
    assert allowed["bluetune.dev", "finetuningtasks/status"] == {"update"}
    assert {resource for _, resource in allowed} == {
        "embeddingmodels",
        "finetuningmethods",
        "embeddingmodels/status",
        "finetuningmethods/status",
        "finetuningtasks/status",
        "jobs",
        "configmaps",
        "pods",
        "deployments",
        "leases",
        "secrets",
        "namespaces",
        "events",
    }
    (binding,) = of_kind(objects, "ClusterRoleBinding")
    (account,) = of_kind(objects, "ServiceAccount")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "bluetune-system"}
    ]


def test_every_verb_is_explained_in_the_documentation(render: Render) -> None:
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    section = page.partition("## What the operator may do\n")[2].partition("\n## ")[0]
    explained = {
        (resource, verb)
        for line in section.splitlines()
        if (cells := [cell.strip() for cell in line.split("|")]) and len(cells) == 5
        for resource in re.findall(r"`([^`]+)`", cells[1])
        for verb in re.findall(r"`([^`]+)`", cells[2])
    }
    values = ("rbac.aggregate=false", "workloadIdentity.enabled=true", "kueue.enabled=true")
    wanted = {
        (resource, verb)
        for role in of_kind(render(*values), "ClusterRole")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert explained == wanted


def test_secrets_can_be_limited_to_some_names(render: Render) -> None:
    roles = of_kind(render('rbac.secretNames=["store"]', "rbac.aggregate=false"), "ClusterRole")
    (rule,) = [rule for rule in roles[0]["rules"] if rule["resources"] == ["secrets"]]
    assert rule["resourceNames"] == ["store"]


def test_an_operator_of_some_namespaces_has_roles_there_and_none_in_the_cluster(render: Render) -> None:
    objects = render('watchNamespaces=["a","b"]', "rbac.aggregate=false")
    assert not of_kind(objects, "ClusterRole")
    assert not of_kind(objects, "ClusterRoleBinding")
    rules = {role["metadata"]["namespace"]: role["rules"] for role in of_kind(objects, "Role")}
    assert rules.keys() == {"a", "b", "bluetune-system"}
    assert rules["a"] == rules["b"]
    assert {rule["resources"][0] for rule in rules["bluetune-system"]} == {"leases"}
    assert {binding["metadata"]["namespace"] for binding in of_kind(objects, "RoleBinding")} == rules.keys()
    assert environment(objects)["BLUETUNE_NAMESPACES"] == "a,b"


def test_an_operator_of_its_own_namespace_has_one_role(render: Render) -> None:
    roles = of_kind(render('watchNamespaces=["bluetune-system"]'), "Role")
    assert [role["metadata"]["namespace"] for role in roles] == ["bluetune-system"]
    assert len(roles[0]["rules"]) > 1


def test_the_crds_are_those_of_the_repository_and_survive_an_uninstall(render: Render) -> None:
    rendered = {each["metadata"]["name"]: each for each in of_kind(render(), "CustomResourceDefinition")}
    originals = [yaml.safe_load(path.read_text()) for path in (CHECKOUT / "crds").glob("*.yaml")]
    assert len(originals) == 3
    for original in originals:
        crd = rendered.pop(original["metadata"]["name"])
        assert crd["spec"] == original["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not rendered


def test_the_crds_can_be_left_out(render: Render) -> None:
    assert not of_kind(render("crds.install=false"), "CustomResourceDefinition")


def test_metrics_have_a_service_and_a_monitor_only_if_asked(render: Render) -> None:
    objects = render()
    (service,) = of_kind(objects, "Service")
    (deployment,) = of_kind(objects, "Deployment")
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8081, "targetPort": "metrics"}]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert not of_kind(objects, "ServiceMonitor")
    objects = render("metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = of_kind(objects, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "interval": "30s", "honorLabels": True}]


def test_alerts_and_dashboard_are_there_only_if_asked(render: Render) -> None:
    assert not of_kind(render(), "PrometheusRule") + of_kind(render(), "ConfigMap")
    alerts = ("monitoring.alerts.enabled=true", 'monitoring.alerts.labels={"release":"prometheus"}')
    (rule,) = of_kind(render(*alerts), "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    written = (CHART / "monitoring/alerts.yaml").read_text()
    assert rule["spec"] == yaml.safe_load(written.replace("OPERATOR_NAMESPACE", "bluetune-system"))
    (dashboard,) = of_kind(render("monitoring.dashboard.enabled=true"), "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["data"] == {"bluetune.json": (CHART / "monitoring/dashboard.json").read_text()}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("image.tagg=1.0", "at '/image': additional properties 'tagg' not allowed"),
        ("watchNamespace=a", "additional properties 'watchNamespace' not allowed"),
        ("watchNamespaces=a", "at '/watchNamespaces': got string, want array"),
        ('watchNamespaces=["A_b"]', "at '/watchNamespaces/0': 'A_b' does not match pattern"),
        (
            "image.pullPolicy=Sometimes",
            "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
        ),
        ("image.digest=abc", "at '/image/digest': 'abc' does not match pattern"),
        ("trainerImage.repository=a:b:c", "at '/trainerImage/repository': 'a:b:c' does not match pattern"),
        ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
        ("maxRollouts=0", "at '/maxRollouts': minimum: got 0, want 1"),
        ("logFormat=xml", "at '/logFormat': value must be one of 'json', 'text'"),
        ("metrics.serviceMonitor.enabled=yes", "at '/metrics/serviceMonitor/enabled': got string, want boolean"),
        ("monitoring.alerts.enable=true", "at '/monitoring/alerts': additional properties 'enable' not allowed"),
        ("resources.memory=1Gi", "at '/resources': additional properties 'memory' not allowed"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(render: Render, value: str, complaint: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render(value)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    "values", [(), ("watchNamespaces={a,b}",), ("metrics.serviceMonitor.enabled=true",), MONITORING]
)
def test_helm_finds_nothing_to_complain_about(values: tuple[str, ...]) -> None:
    helm("lint", "--strict", str(CHART), *(f"--set={value}" for value in values))
