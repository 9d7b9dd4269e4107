"""A method that many namespaces share: Kustomize makes it, and the API takes it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bluetune_api.manifest import parse
from bluetune_api.method import FineTuningMethod

METHODS = Path(__file__).parents[3] / "examples/gitops/methods"
TEAMS = sorted(path.name for path in METHODS.iterdir() if path.name != "shared")


def made(team: str) -> dict[str, Any]:
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run([kubectl, "kustomize", METHODS / team], capture_output=True, text=True, check=True)
    (manifest,) = yaml.safe_load_all(done.stdout)
    assert isinstance(manifest, dict)
    return manifest


@pytest.mark.parametrize("team", TEAMS)
def test_each_team_gets_the_shared_method_in_its_own_namespace(team: str) -> None:
    manifest = made(team)
    assert (manifest["metadata"]["name"], manifest["metadata"]["namespace"]) == ("text", team)
    method = parse(manifest)
    assert isinstance(method, FineTuningMethod)
    assert (
        method.spec.initial_max_evals
        == yaml.safe_load((METHODS / "shared/text.yaml").read_text())["spec"]["initialMaxEvals"]
    )


def test_a_team_may_differ() -> None:
    ours, theirs = (made(team)["spec"]["podTemplate"] for team in ("search", "shop"))
    assert ours["resources"]["limits"] == {"nvidia.com/gpu": "1", "memory": "16Gi"}
    assert theirs["resources"]["limits"] == {"nvidia.com/mig-3g.40gb": "1", "memory": "12Gi"}
    assert ("nodeSelector" in ours, theirs["nodeSelector"]) == (False, {"example.com/team": "shop"})
