"""The Lua that Argo CD runs says what our conditions mean."""

from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml

FILE = Path(__file__).parents[3] / "examples/gitops/argocd/health.yaml"
SCRIPTS = {key.rsplit("_", 1)[1]: text for key, text in yaml.safe_load(FILE.read_text())["data"].items()}


def health(kind: str, thing: dict[str, Any]) -> tuple[str, str]:
    lua = lupa.LuaRuntime()
    lua.globals().obj = lua.table_from(thing, recursive=True)
    answer = lua.execute(SCRIPTS[kind])
    return answer.status, answer.message


def thing(*conditions: tuple[str, str], spec: dict[str, Any] | None = None, observed: int = 1) -> dict[str, Any]:
    said = [{"type": name, "status": status, "message": f"{name} is {status}"} for name, status in conditions]
    return {
        "metadata": {"generation": 1},
        "spec": spec or {},
        "status": {"conditions": said, "observedGeneration": observed},
    }


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({"metadata": {}, "spec": {}}, "Progressing", "Waiting for the operator"),
        (thing(("Ready", "False"), ("Reconciling", "True")), "Progressing", "Ready is False"),
        (thing(("Succeeded", "True"), ("Ready", "True")), "Healthy", "Succeeded is True"),
        (thing(("Failed", "True"), ("Ready", "False")), "Degraded", "Failed is True"),
        (thing(("Failed", "True"), ("Ready", "False"), observed=0), "Degraded", "Failed is True"),
        (thing(("Stalled", "True"), ("Ready", "False")), "Degraded", "Stalled is True"),
        (thing(("Ready", "False"), spec={"suspend": True}), "Suspended", "spec.suspend is true"),
        (thing(("Ready", "True")), "Healthy", "Ready is True"),
        (thing(("Ready", "True"), observed=0), "Progressing", "Waiting for the operator"),
    ],
)
@pytest.mark.parametrize("kind", ["FineTuningTask", "EmbeddingModel"])
def test_argocd_sees_the_health_that_the_conditions_say(
    kind: str, given: dict[str, Any], status: str, message: str
) -> None:
    assert health(kind, given) == (status, message)


def test_a_method_is_always_healthy() -> None:
    assert health("FineTuningMethod", {"metadata": {}})[0] == "Healthy"
