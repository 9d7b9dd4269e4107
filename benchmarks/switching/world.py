"""The demo's search service on the local cluster, a model, and versions of it that need no training."""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from semanlink.base import base_folder

from blue.world import Blue
from bluetune_api import store_layout
from bluetune_api.method import Settings
from bluetune_api.records import Manifest, ManifestFile, Probe, Result, RunOwner
from bluetune_trainer.cli.probe import reference_of
from bluetune_trainer.store.versions import Published, publish
from bluetune_trainer.training.opening import open_served
from cluster import images
from cluster.lifecycle import Cluster
from semanlink import dataset

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "localhost/bluetune-search:dev"
NOISE = 0.02
"""Of a weight's spread: a version that is really another one, and still finds things."""


def load_image(cluster: Cluster) -> None:
    """The search service's code, run by this checkout's virtual environment."""
    code = ROOT / "examples" / "search-service"
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "search.tar"
        archive.write_bytes(images.host_archive(Path(sys.prefix).resolve(), IMAGE, PYTHONPATH=str(code)))
        cluster.load(archive)


def another(seed: int, into: Path) -> Path:
    """The base model; with a seed, its weights moved a little."""
    shutil.copytree(base_folder(), into)
    if seed:
        path, chance = into / "model.safetensors", torch.Generator().manual_seed(seed)
        weights = load_file(path)
        for name, tensor in weights.items():
            if tensor.is_floating_point() and tensor.dim() == 2:
                weights[name] = tensor + NOISE * tensor.std() * torch.randn(tensor.shape, generator=chance)
        save_file(weights, path, metadata={"format": "pt"})
    return into


def published(blue: Blue, folder: Path, *, probe: Probe | None = None) -> tuple[Published, Probe]:
    """Publish a model; a `probe` that is not its own makes a version that no server can verify."""
    model = open_served(folder, Settings())
    own = reference_of(model).probe

    def describe(files: list[ManifestFile]) -> Manifest:
        return Manifest(files=files, dimension=model.dimension, probe=probe or own)

    return publish(blue.store(), folder, describe, lambda _: None), own


def made(blue: Blue, items: int) -> list[str]:
    """Catalogue, model, Deployment, Service, and four versions: base, two others, one that fails verification."""
    documents = dataset.load().documents[:items]
    blue.store().put("items/items.jsonl", dataset.items_jsonl(documents))
    with tempfile.TemporaryDirectory() as folder:
        base, own = published(blue, another(0, Path(folder) / "base"))
        others = [published(blue, another(seed, Path(folder) / f"{seed}"))[0] for seed in (1, 2)]
        lying, _ = published(blue, another(3, Path(folder) / "3"), probe=own)
    blue.make_model(serving=serving())
    uid = blue.model()["metadata"]["uid"]
    owner = RunOwner(kind="EmbeddingModel", name="shop", namespace=blue.kubectl.namespace, uid=uid)
    result = Result(kind="Import", owner=owner, version=base.version, digest=base.digest, uri=base.uri)
    blue.store().create(store_layout.result(uid), result.model_dump_json(by_alias=True, exclude_none=True).encode())
    blue.kubectl.apply(*manifests(blue))
    return [version.version for version in (base, *others, lying)]


def serving() -> dict[str, Any]:
    """As the demo's model declares it, with shorter timeouts."""
    model = yaml.safe_load((ROOT / "examples" / "semanlink" / "30-model.yaml").read_text())
    declared: dict[str, Any] = model["spec"]["serving"]
    del declared["gate"]
    declared["verify"]["timeoutSeconds"] = 10
    pod = declared["reindex"]["template"]["template"]["spec"]
    pod["containers"][0]["resources"]["requests"] = {"cpu": "100m", "memory": "512Mi"}
    return declared


def manifests(blue: Blue) -> Sequence[dict[str, Any]]:
    """The demo's Deployment and Service, in this namespace and with its keys.

    The client has one address, so the Service must not send all that comes from it to one pod.
    """
    text = (ROOT / "examples" / "semanlink" / "10-search.yaml").read_text().replace("semanlink-store", "keys")
    deployment, service = yaml.safe_load_all(text)
    for manifest in (deployment, service):
        del manifest["metadata"]["namespace"]
    del service["spec"]["sessionAffinity"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    server = blue.bucket.server
    where = {"endpoint": server.address, "bucket": blue.bucket.name, "prefix": "model", "secure": False}
    next(v for v in container["env"] if v["name"] == "BLUETUNE_STORE")["value"] = json.dumps(where)
    return [deployment, service]


def titles(items: int) -> list[str]:
    """What queries are made of."""
    return [document.title for document in dataset.load().documents[:items] if document.title]
