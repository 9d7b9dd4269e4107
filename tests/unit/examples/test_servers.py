"""The manifests of servers that others have made."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bluetune_api.model import EmbeddingModelSpec
from bluetune_operator.core.rollout.serving_patch import unsafe

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "servers"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_model_names_a_deployment_that_switches_without_losing_a_request(file: Path) -> None:
    objects: dict[str, Any] = {one["kind"]: one for one in yaml.safe_load_all(file.read_text())}
    serving = EmbeddingModelSpec.model_validate(objects["EmbeddingModel"]["spec"]).serving
    deployment = objects["Deployment"]
    assert serving is not None
    assert serving.verify is not None
    assert serving.deployment == deployment["metadata"]["name"]
    assert unsafe(deployment, serving) is None
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert serving.container == server["name"]
    assert [{"containerPort": serving.verify.port}] == server["ports"]
    assert serving.mount_path in server["args"]


def test_the_table_names_each_file() -> None:
    table = (FOLDER / "README.md").read_text()
    assert FILES
    assert all(f"({file.name})" in table for file in FILES)
