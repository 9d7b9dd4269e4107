"""Later iterations try the parameters that made their start version and its ancestors, and search only when asked."""

import json
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Manifest, Result, Trial
from bluetune_trainer.cli.laptop import run_manifests
from trainer.learning_world import write_tiny_encoder
from trainer.shop import Shop, write_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Generations:
    """Runs on one store, each from the version before, on a batch of its own."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.versions: list[str] = []

    def run(self, rates: list[float], **settings: Any) -> tuple[Result, list[Trial], list[str | None]]:
        """A run that may draw these learning rates: its result, its trials, and where their parameters come from."""
        name, folder = f"run{len(self.versions)}", self.shop.folder
        shutil.copytree(folder / "clickstream" / "monday", folder / "clickstream" / name)

        def edit(documents: dict[str, dict[str, Any]]) -> None:
            task, method = documents["FineTuningTask"], documents["FineTuningMethod"]["spec"]
            task["metadata"]["name"] = name
            task["spec"]["batchId"] = name
            if self.versions:
                task["spec"]["startFrom"] = self.versions[-1]
            method["settings"] = {**method["settings"], "search": "Auto", **settings}
            method["initialParams"] = {"num_fixed_layers": {"choice": [1]}, "items_lr": {"choice": rates}}
            method["initialMaxEvals"] = len(rates)

        self.shop.change(edit)
        run_manifests([self.shop.manifests], folder, None, stop=Event(), open_store=lambda location: LocalStore(folder))
        (run,) = folder.glob(f"runs/{name}-*")
        result = Result.model_validate_json((run / "result.json").read_bytes())
        paths = sorted((run / "trials").glob("*.json"), key=lambda path: int(path.stem))
        trials = [Trial.model_validate_json(path.read_bytes()) for path in paths]
        self.versions.append(result.version)
        lineage = run / "lineage.json"
        found = json.loads(lineage.read_text()).get("candidates", []) if lineage.exists() else None
        assert settings or {c["origin"] for c in found or []} <= set(self.versions[:-1])
        return result, trials, [trial.origin for trial in trials]


def rates(trials: list[Trial]) -> list[float]:
    return [trial.params["items_lr"] for trial in trials]


def test_a_base_is_searched_and_its_descendants_try_their_lineage(tmp_path: Path, minilm: Path) -> None:
    shop = write_shop(tmp_path, write_tiny_encoder(tmp_path / "tiny", minilm))
    shop.change(lambda d: d["FineTuningMethod"]["spec"]["settings"].update(batchSize=48))
    family = Generations(shop)

    first, trials, origins = family.run([2e-3, 4e-3])
    assert sorted(rates(trials)) == [2e-3, 4e-3]
    assert (origins, first.params_from) == ([None, None], None)
    assert first.best is not None
    best = first.best.params["items_lr"]

    second, trials, origins = family.run([1e-3], search="Always")
    assert (rates(trials), origins, second.params_from) == ([1e-3], [None], None)

    third, trials, origins = family.run([1e-3, 2e-3, 4e-3])
    assert rates(trials) == [1e-3, best]
    assert origins == [second.version, first.version]
    assert third.params_from in origins
    manifest = Manifest.model_validate_json((shop.folder / f"versions/{third.version}/manifest.json").read_bytes())
    assert (manifest.parent, manifest.params_from) == (second.version, third.params_from)
    assert third.best is not None
    assert manifest.params == third.best.params

    # Only what fits the space is tried; where nothing does, there is a search.
    fourth, trials, origins = family.run([best])
    assert (rates(trials), fourth.trials_done) == ([best], 1)
    assert origins[0] in (first.version, third.version)
    _, trials, origins = family.run([7e-3, 8e-3])
    assert (sorted(rates(trials)), origins) == ([7e-3, 8e-3], [None, None])
