"""What the chart keeps the trainer's pods from, and which Secrets the operator may read."""

from collections.abc import Callable
from typing import Any, get_args

import pytest

from bluetune_api.pods import PodTemplate
from bluetune_api.store_location import StoreSpec
from bluetune_operator.core.jobs.build import Command, TrainerJob, trainer_job
from bluetune_operator.core.kinds import child_labels
from bluetune_operator.core.tenant_identity import Allowed, IdentitySettings, identity_settings
from chart.helm import HelmError
from cluster.kubectl import Kubectl

Render = Callable[..., list[dict[str, Any]]]
Object = dict[str, Any]

STORE = (
    '[{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"storage"}}}],"ports":[{"port":9000}]}]'
)
HUB = '[{"ports":[{"port":443,"protocol":"TCP"}]}]'
ON = ("networkPolicy.enabled=true", f"networkPolicy.store={STORE}")
STAGES = {"import": "import", "check": "check", "run": "train", "index": "index", "load": "load"}


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector selects, as Kubernetes has it."""
    by_label = selector.get("matchLabels", {}).items() <= labels.items()
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return by_label and all(labels.get(each["key"]) in each["values"] for each in expressions)


def pod_labels(command: Command) -> dict[str, str]:
    """Labels of the pods of a trainer's Job whose method tries to give them others."""
    store = StoreSpec(endpoint="s:9000", bucket="bucket", credentials_secret_ref={"name": "store"})  # type: ignore[arg-type]
    job = trainer_job(
        TrainerJob(
            name="j",
            namespace="n",
            owner={"apiVersion": "v1", "kind": "X", "metadata": {"name": "o", "uid": "u"}},
            labels=child_labels(model="m", job=STAGES[command]),
            command=command,
            image="i",
            image_pull_policy="Always",
            store=store,
            template=PodTemplate(labels={"app.kubernetes.io/managed-by": "me", "bluetune.dev/job": "reindex"}),
        )
    )
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return labels


def test_by_default_there_is_no_policy_and_secrets_may_be_read_everywhere(render: Render) -> None:
    assert not of_kind(render(), "NetworkPolicy")
    assert not of_kind(render(), "Role")


def test_every_pod_of_the_trainer_is_selected_whatever_its_method_says(render: Render) -> None:
    (policy,) = of_kind(render(*ON, 'networkPolicy.namespaces=["search"]'), "NetworkPolicy")
    assert policy["metadata"]["namespace"] == "search"
    for command in get_args(Command):
        assert selects(policy["spec"]["podSelector"], pod_labels(command)), command
    assert not selects(policy["spec"]["podSelector"], child_labels(model="m", job="reindex"))


def test_the_trainer_reaches_dns_and_the_store_and_nothing_reaches_it(render: Render) -> None:
    (policy,) = of_kind(render(*ON, 'watchNamespaces=["search"]'), "NetworkPolicy")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == []
    dns, store = spec["egress"]
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    assert dns["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
    assert store["ports"] == [{"port": 9000}]


@pytest.mark.parametrize("job", ["import", "load"])
def test_an_import_and_a_load_may_each_reach_more(render: Render, job: str) -> None:
    policies = of_kind(render(*ON, 'networkPolicy.namespaces=["a"]', f"networkPolicy.{job}={HUB}"), "NetworkPolicy")
    (more,) = [each for each in policies if each["metadata"]["name"].endswith(f"-{job}")]
    assert more["spec"]["egress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]
    chosen = {command: selects(more["spec"]["podSelector"], pod_labels(command)) for command in get_args(Command)}
    assert chosen == {command: command == job for command in get_args(Command)}


def test_each_namespace_gets_its_own(render: Render) -> None:
    policies = of_kind(render(*ON, 'watchNamespaces=["a","b"]'), "NetworkPolicy")
    assert [each["metadata"]["namespace"] for each in policies] == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (("networkPolicy.enabled=true",), "at '/networkPolicy/store': minItems: got 0, want 1"),
        (ON, "networkPolicy.namespaces: name the namespaces of your models"),
        ((*ON, "networkPolicy.import=[{}]"), "at '/networkPolicy/import/0': minProperties: got 0, want 1"),
        ((*ON, "networkPolicy.dns=[{}]"), "at '/networkPolicy/dns/0': minProperties: got 0, want 1"),
    ],
)
def test_a_policy_that_would_allow_everything_or_nothing_is_refused(
    render: Render, values: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(HelmError) as refusal:
        render(*values)
    assert complaint in str(refusal.value)


def test_the_cluster_takes_the_policies(render: Render, kubectl: Kubectl, namespace: str) -> None:
    objects = render(*ON, f'networkPolicy.namespaces=["{namespace}"]', f"networkPolicy.import={HUB}")
    kubectl.apply(*of_kind(objects, "NetworkPolicy"))
    made = kubectl.json("get", "networkpolicies")["items"]
    assert [each["metadata"]["name"] for each in made] == ["bluetune-import", "bluetune-trainer"]


def test_secrets_may_be_limited_to_some_namespaces_and_names(render: Render) -> None:
    objects = render('rbac.secretNames=["store"]', 'rbac.secretNamespaces=["a","b"]', "rbac.aggregate=false")
    (everywhere,) = of_kind(objects, "ClusterRole")
    assert not any("secrets" in rule["resources"] for rule in everywhere["rules"])
    roles = of_kind(objects, "Role")
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    for role in roles:
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["store"], "verbs": ["get"]}
        ]
    account = of_kind(objects, "ServiceAccount")[0]["metadata"]
    for binding in of_kind(objects, "RoleBinding"):
        assert binding["roleRef"]["name"] == "bluetune-secrets"
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_an_operator_of_some_namespaces_may_read_the_secrets_of_fewer(render: Render) -> None:
    roles = of_kind(render('watchNamespaces=["a","b"]', 'rbac.secretNamespaces=["b"]'), "Role")
    readers = [r["metadata"]["namespace"] for r in roles if any("secrets" in rule["resources"] for rule in r["rules"])]
    assert readers == ["b"]


def test_tokens_of_service_accounts_are_a_right_that_has_to_be_switched_on(render: Render) -> None:
    def rights(*values: str) -> list[Object]:
        (role,) = of_kind(render("rbac.aggregate=false", *values), "ClusterRole")
        return [rule for rule in role["rules"] if any("serviceaccounts" in r for r in rule["resources"])]

    assert rights() == []
    on = "workloadIdentity.enabled=true"
    assert [(rule["resources"], rule["verbs"]) for rule in rights(on)] == [
        (["serviceaccounts"], ["get"]),
        (["serviceaccounts/token"], ["create"]),
    ]
    assert not any("resourceNames" in rule for rule in rights(on))
    named = rights(on, 'workloadIdentity.serviceAccountNames=["trainer"]')
    assert [rule["resourceNames"] for rule in named] == [["trainer"], ["trainer"]]


def test_workloads_of_kueue_are_read_only_where_that_is_wanted(render: Render) -> None:
    def rights(*values: str) -> list[Object]:
        (role,) = of_kind(render("rbac.aggregate=false", *values), "ClusterRole")
        return [rule for rule in role["rules"] if "kueue.x-k8s.io" in rule["apiGroups"]]

    assert rights() == []
    (rule,) = rights("kueue.enabled=true")
    assert (rule["resources"], rule["verbs"]) == (["workloads"], ["list"])


def test_the_operator_is_told_whose_identity_it_may_use(render: Render) -> None:
    def environment(*values: str) -> dict[str, str]:
        (deployment,) = of_kind(render(*values), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value", "") for each in container["env"]}

    assert identity_settings(environment()) == IdentitySettings()
    entry = '{"namespace":"search","endpoint":"minio.storage:9000","bucket":"models","prefix":"a","secure":false}'
    found = identity_settings(
        environment(
            "workloadIdentity.enabled=true",
            "workloadIdentity.audience=minio",
            "workloadIdentity.stsEndpoint=https://minio.storage:9000",
            f"operatorIdentity.allow=[{entry}]",
        )
    )
    allowed = Allowed(namespace="search", endpoint="minio.storage:9000", bucket="models", prefix="a", secure=False)
    assert found == IdentitySettings(True, "minio", "https://minio.storage:9000", (allowed,))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ('operatorIdentity.allow=[{"namespace":"a","bucket":"models"}]', "missing property 'endpoint'"),
        ("workloadIdentity.stsEndpoint=minio:9000", "at '/workloadIdentity/stsEndpoint'"),
    ],
)
def test_an_identity_that_could_not_work_is_refused(render: Render, value: str, complaint: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render(value)
    assert complaint in str(refusal.value)
