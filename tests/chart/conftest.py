"""The chart, rendered or installed by helm."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.paths import binaries

CHART = Path(__file__).resolve().parents[2] / "helm" / "bluetune"
NAMESPACE = "bluetune-system"

Render = Callable[..., list[dict[str, Any]]]


def helm(*arguments: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run helm where the caller is; the caller looks at the exit code."""
    line = [str(binaries() / "helm"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.fixture(scope="session")
def template() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helm template` with `--set` arguments given as strings."""

    def run(*values: str) -> subprocess.CompletedProcess[str]:
        sets = [
            part
            for value in values
            for part in ("--set-json" if value.partition("=")[2][:1] in "[{" else "--set", value)
        ]
        return helm("template", "bluetune", str(CHART), "--namespace", NAMESPACE, *sets)

    return run


@pytest.fixture(scope="session")
def render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """The objects that the chart renders with some values."""

    def run(*values: str) -> list[dict[str, Any]]:
        result = template(*values)
        assert result.returncode == 0, result.stderr
        return [document for document in yaml.safe_load_all(result.stdout) if document]

    return run
