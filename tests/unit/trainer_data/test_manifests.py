"""Manifests on a laptop: what kubectl takes is taken, and read as it reads it."""

from pathlib import Path
from typing import Any

import pytest

from bluetune_trainer.cli.kubectl_yaml import documents
from bluetune_trainer.cli.manifests import read_manifests
from bluetune_trainer.errors import PlanInvalid

MANIFESTS = """\
apiVersion: bluetune.dev/v1alpha1
kind: FineTuningMethod
metadata: {name: text}
spec:
  initialParams:
    items_lr: {logUniform: {low: 2e-5, high: 2e-4}}
  podTemplate: {resources: {limits: {cpu: 2, nvidia.com/gpu: 1, memory: 8e9}}}
---
apiVersion: bluetune.dev/v1alpha1
kind: EmbeddingModel
metadata: {name: products}
spec:
  base: {uri: /models/base}
  methodRef: {name: text}
  store: {endpoint: "minio:9000", bucket: search, credentialsSecretRef: {name: store}}
---
apiVersion: bluetune.dev/v1alpha1
kind: FineTuningTask
metadata: {generateName: products-}
spec: {modelRef: {name: products}, batchId: 2026-01-31}
"""


def write(folder: Path, text: str) -> list[Path]:
    (folder / "m.yaml").write_text(text)
    return [folder / "m.yaml"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2", -2),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("0", 0),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("1:30", "1:30"),
        ("yes", True),
        ("n", False),
        ("Off", False),
        ("null", None),
        ("1e3s", "1e3s"),
        ("0.5.1", "0.5.1"),
        ('"2e-5"', "2e-5"),
    ],
)
def test_a_plain_word_means_what_it_means_to_kubectl(text: str, value: Any) -> None:
    found = documents(f"a: {text}\n")[0]["a"]
    assert (type(found), found) == (type(value), value)


def test_numbers_dates_and_quantities_are_read_without_quotes(tmp_path: Path) -> None:
    found = read_manifests(write(tmp_path, MANIFESTS), None)
    assert found.task.spec.batch_id == "2026-01-31"
    assert found.method.spec.initial_params is not None
    bounds = found.method.spec.initial_params["items_lr"].log_uniform
    assert bounds is not None
    assert (bounds.low, bounds.high) == (2e-5, 2e-4)
    assert found.method.spec.pod_template is not None
    assert found.method.spec.pod_template.resources is not None
    limits = found.method.spec.pod_template.resources.limits
    assert limits == {"cpu": "2", "nvidia.com/gpu": "1", "memory": "8000000000"}


def test_generate_name_makes_the_same_name_each_time_and_another_for_another_task(tmp_path: Path) -> None:
    first = read_manifests(write(tmp_path, MANIFESTS), None).task.metadata.name
    assert first.startswith("products-")
    assert len(first) == len("products-") + 5
    assert read_manifests(write(tmp_path, MANIFESTS), None).task.metadata.name == first
    other = MANIFESTS.replace("2026-01-31", "2026-02-01")
    assert read_manifests(write(tmp_path, other), None).task.metadata.name != first


def test_a_list_is_its_items(tmp_path: Path) -> None:
    items = "".join("- " + part.replace("\n", "\n  ").rstrip() + "\n" for part in MANIFESTS.split("---\n"))
    found = read_manifests(write(tmp_path, f"apiVersion: v1\nkind: List\nitems:\n{items}"), None)
    assert found.model.metadata.name == "products"


def test_a_relative_base_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid) as caught:
        read_manifests(write(tmp_path, MANIFESTS.replace("/models/base", "./base")), None)
    assert "spec.base.uri: must be s3://bucket/path, hf://org/name@revision" in caught.value.message
    assert "or an absolute path (/models/base) (found './base')" in caught.value.message


def test_a_fraction_without_quotes_is_told_to_have_them(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match=r'limits\.cpu: a fraction needs quotes here: "0\.5"'):
        read_manifests(write(tmp_path, MANIFESTS.replace("cpu: 2", "cpu: 0.5")), None)


def test_a_kind_that_does_not_exist_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match=r"has no kind 'FinetuningTask'.*FineTuningTask"):
        read_manifests(write(tmp_path, MANIFESTS.replace("kind: FineTuningTask", "kind: FinetuningTask")), None)


def test_objects_of_others_are_passed_over(tmp_path: Path) -> None:
    secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: store}\n---\n"
    assert read_manifests(write(tmp_path, MANIFESTS + secret), None).task.spec.model_ref.name == "products"
