"""The chart as helm renders it."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from chart.helm import CHART, helm

NAMESPACE = "bluetune-system"


@pytest.fixture(scope="session")
def render() -> Callable[..., list[dict[str, Any]]]:
    """The objects that the chart renders with some values, given as NAME=VALUE. Raises HelmError."""

    def run(*values: str) -> list[dict[str, Any]]:
        sets = []
        for value in values:
            sets += ["--set-json" if value.partition("=")[2][:1] in ("[", "{") else "--set", value]
        rendered = helm("template", "bluetune", str(CHART), "--namespace", NAMESPACE, *sets)
        return [document for document in yaml.safe_load_all(rendered) if document]

    return run
