"""A run on a small random encoder, in this process: `bluetune-trainer run -f`, for tests of what a plugin changes."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from bluetune_api.records import Result
from bluetune_trainer.cli.main import main
from trainer.shop import CLICKS_ALONE, Shop, write_shop


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    shop: Shop
    code: int
    stderr: str

    @property
    def message(self) -> str:
        return self.shop.termination()["message"]

    @property
    def result(self) -> Result:
        (path,) = self.shop.folder.glob("runs/first-*/result.json")
        return Result.model_validate_json(path.read_bytes())

    @property
    def folder(self) -> Path:
        """Of the published version."""
        return self.shop.folder / "versions" / self.result.version

    def nothing_half_written(self) -> bool:
        """No result; every version is whole, and none but the base's; every record can be read."""
        versions = list((self.shop.folder / "versions").glob("*"))
        for record in self.shop.folder.glob("runs/**/*.json"):
            json.loads(record.read_text())
        return (
            not list(self.shop.folder.glob("runs/first-*/result.json"))
            and len(versions) <= 1
            and all((version / "manifest.json").is_file() for version in versions)
        )


def small_shop(root: Path, base: Path, *, sessions: int = 120) -> Shop:
    """A shop whose run takes seconds."""
    shop = write_shop(root, base, sessions=sessions)

    def edit(documents: dict[str, dict]) -> None:
        spec = documents["FineTuningMethod"]["spec"]
        spec["initialParams"] = {
            "num_fixed_layers": {"choice": [0]},
            "items_lr": {"choice": [1e-3]},
            **CLICKS_ALONE,
        }
        spec["initialMaxEvals"] = 1

    shop.change(edit)
    return shop


def with_plugin(shop: Shop, name: str, code: str, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    """Put a plugin beside the shop, and name it in the method."""
    path = shop.manifests.parent / f"{name}.py"
    path.write_text(code)
    monkeypatch.syspath_prepend(str(path.parent))

    def edit(documents: dict[str, dict]) -> None:
        documents["FineTuningMethod"]["spec"]["plugin"] = f"{name}:Plugin"
        documents["FineTuningMethod"]["spec"]["settings"].update(settings)

    shop.change(edit)


def run(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Run it. Signal handlers are as before afterwards."""
    monkeypatch.setenv("BLUETUNE_TERMINATION_LOG", str(shop.folder / "termination.json"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = main(["run", "-f", str(shop.manifests), "--store", str(shop.folder)])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Ended(shop, code, capsys.readouterr().err)
