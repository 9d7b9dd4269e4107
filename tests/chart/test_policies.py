"""The chart's ValidatingAdmissionPolicies: off by default; what the operator does passes, and nothing else."""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from chart.conftest import NAMESPACE
from chart.helm import HelmError
from chart.policy_cases import VALUES, Case, Object, cases, changed, far, token
from cluster.kubectl import Kubectl, KubectlError

Render = Callable[..., list[Object]]

CRDS = Path(__file__).parents[2] / "crds"
OPERATOR = (f"--as=system:serviceaccount:{NAMESPACE}:bluetune", "--as-group=system:masters")
"""With every right: what is refused, a policy refuses."""
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
NAMES = {"jobs", "children", "leases", "deployments", "tokens", "tenants", "deletion"}
PEOPLE = {"tenants", "deletion"}


def policies(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] in KINDS]


def names(objects: list[Object], kind: str) -> set[str]:
    prefix = f"{NAMESPACE}-bluetune-"
    return {each["metadata"]["name"].removeprefix(prefix) for each in objects if each["kind"] == kind}


def test_by_default_there_is_none_but_that_of_models_which_ask_for_it(render: Render) -> None:
    assert names(render(), KINDS[0]) == names(render(), KINDS[1]) == {"deletion"}
    assert policies(render("policies.deletion=false")) == []


def test_each_policy_is_bound(render: Render) -> None:
    objects = render(*VALUES)
    assert names(objects, KINDS[0]) == names(objects, KINDS[1]) == NAMES
    for each in policies(objects):
        if each["kind"] == KINDS[1]:
            assert each["spec"]["validationActions"] == ["Deny"]
            assert each["spec"]["policyName"] == each["metadata"]["name"]
        else:
            assert each["spec"]["failurePolicy"] == "Fail"


def test_tenants_and_tokens_are_judged_only_where_somebody_says_how(render: Render) -> None:
    judged = names(render("policies.enabled=true"), KINDS[0])
    assert judged == {"jobs", "children", "leases", "deployments", "deletion"}


def test_tenants_of_other_namespaces_are_left_alone(render: Render) -> None:
    objects = render(*VALUES, 'watchNamespaces=["a","b"]')
    (binding,) = [e for e in policies(objects) if e["kind"] == KINDS[1] and e["metadata"]["name"].endswith("-tenants")]
    (expression,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ('policies.images=["*"]', "at '/policies/images/0'"),
        ("policies.tenants.maxPriority=high", "at '/policies/tenants/maxPriority'"),
        ('policies.tenants.endpoints=["https://minio:9000"]', "at '/policies/tenants/endpoints/0'"),
    ],
)
def test_a_mistyped_setting_is_refused(render: Render, value: str, complaint: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render(value)
    assert complaint in str(refusal.value)


@pytest.fixture
def enforced(render: Render, kubectl: Kubectl) -> Iterator[None]:
    """The policies are in force; those of tenants in this test's namespace alone."""
    files = [f"--filename={path}" for path in sorted(CRDS.glob("*.yaml"))]
    kubectl("apply", "--server-side", "--force-conflicts", *files)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
    kubectl.create(changed(far(kubectl.namespace), "metadata/name", "older"))
    made = policies(render(*VALUES, f'watchNamespaces=["{kubectl.namespace}"]'))
    kubectl.apply(*made)
    try:
        yield
    finally:
        for each in made:
            kubectl("delete", each["kind"].lower(), each["metadata"]["name"], "--ignore-not-found")


def sent(kubectl: Kubectl, case: Case) -> None:
    """Make the request of a case; nothing of it is kept. Raises KubectlError."""
    who: tuple[str, ...] = OPERATOR if case.policy not in PEOPLE else ()
    if case.account is not None:
        who = (f"--as={case.account}", "--as-group=system:masters")
    where = Kubectl(case.namespace or kubectl.namespace)
    dry = ("--dry-run=server", *who)
    if case.policy == "tokens":
        assert case.object is not None
        where("create", "token", "default", f"--audience={case.object['spec']['audiences'][0]}", *who)
        return
    if case.old is None:
        where("create", "-f", "-", *dry, stdin=json.dumps(case.object))
        return
    kind, name = case.old["kind"].lower(), case.old["metadata"]["name"]
    old = deepcopy(case.old)
    if kind == "job":  # it makes no pods
        old["spec"]["suspend"] = True
        old["metadata"].pop("ownerReferences")  # it does not exist, so the Job would be collected
    kubectl.create(old)
    if case.policy == "deletion":
        patch = json.dumps({"status": old["status"]})
        kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)
    try:
        if case.object is None:
            kubectl("delete", kind, name, *dry)
        elif kind == "job":
            owners = {"ownerReferences": case.object["metadata"]["ownerReferences"]}
            patch = {"metadata": owners, "spec": {"suspend": False}}
            kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *dry)
        else:
            live = kubectl.json("get", kind, name)["metadata"]
            labels = case.object["metadata"].get("labels")
            body = {**case.object, "metadata": live | ({"labels": labels} if labels else {})}
            kubectl("replace", "-f", "-", *dry, stdin=json.dumps(body))
    finally:
        if case.policy == "deletion":
            kubectl("patch", kind, name, "--type=merge", "-p", '{"spec":{"deletionPolicy":"Retain"}}')
        kubectl("delete", kind, name, "--ignore-not-found", "--wait=true")


def refusal(kubectl: Kubectl, case: Case) -> str | None:
    try:
        sent(kubectl, case)
    except KubectlError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("enforced")
def test_the_api_server_refuses_what_the_operator_and_tenants_must_not_do_and_nothing_else(kubectl: Kubectl) -> None:
    judged = cases(kubectl.namespace)
    for policy in sorted(NAMES):  # a policy is in force some seconds after it was made
        bad = next(case for case in judged if case.policy == policy and case.refused)
        deadline = time.monotonic() + 30
        while refusal(kubectl, bad) is None:
            assert time.monotonic() < deadline, f"{policy}: {bad.name} is not refused"
            time.sleep(0.5)
    wrong: list[Any] = []
    for case in judged:
        said = refusal(kubectl, case)
        right = said is None if case.refused is None else said is not None and case.refused in said
        if not right:
            wrong.append((case.policy, case.name, said))
    assert wrong == []
    # what stood there before may be edited: a rollback must not fail for it
    kubectl("label", "embeddingmodel", "older", "x=y", "--dry-run=server")


@pytest.mark.slow
@pytest.mark.usefixtures("enforced")
def test_another_account_is_not_judged_by_the_operators_policies(kubectl: Kubectl) -> None:
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}
    kubectl("create", "-f", "-", "--dry-run=server", stdin=json.dumps(plain))
    audience = token("https://kubernetes.default.svc")["spec"]["audiences"][0]
    kubectl("create", "token", "default", f"--audience={audience}")
