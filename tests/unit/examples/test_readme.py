"""README.md: what a newcomer copies is accepted."""

import re
import textwrap
from pathlib import Path

import yaml

from bluetune_api.manifest import parse

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()


def test_its_manifests_are_valid_and_name_each_other() -> None:
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    manifests = {one["kind"]: one for block in blocks for one in yaml.safe_load_all(textwrap.dedent(block))}
    method, model, task = (manifests[kind] for kind in ("FineTuningMethod", "EmbeddingModel", "FineTuningTask"))
    task["metadata"] = {"name": task["metadata"]["generateName"] + "x7k2p"}
    for manifest in manifests.values():
        parse(manifest)
    assert model["spec"]["methodRef"] == method["metadata"]
    assert task["spec"]["modelRef"] == model["metadata"]


def test_its_make_targets_exist() -> None:
    named = {first or second for first, second in re.findall(r"^make ([a-z]+)|`make ([a-z]+)", README, re.MULTILINE)}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets
