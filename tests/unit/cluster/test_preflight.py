"""What is said where the cluster cannot run."""

import os
import sys
from pathlib import Path

import pytest

from cluster import preflight
from cluster.errors import ClusterError


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout that everyone can read."""
    module = tmp_path / "crds" / "bluetune_api" / "base.py"
    module.parent.mkdir(parents=True)
    module.touch()
    for path in (tmp_path, module.parent.parent, module.parent, module):
        path.chmod(0o755)
    monkeypatch.setattr(preflight, "CHECKOUT", tmp_path)
    monkeypatch.setattr(preflight, "host_dirs", lambda: [tmp_path])
    return tmp_path


def test_a_checkout_that_everyone_can_read_is_fine(checkout: Path) -> None:
    assert checkout not in preflight.unreadable_paths()


@pytest.mark.parametrize("path", [".", "crds", "crds/bluetune_api", "crds/bluetune_api/base.py"])
def test_what_pods_cannot_read_is_named(checkout: Path, path: str) -> None:
    (checkout / path).chmod(0o700 if (checkout / path).is_dir() else 0o600)
    assert checkout / path in preflight.unreadable_paths()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ((sys, "platform"), "darwin", "needs Linux; this is darwin"),
        ((os, "geteuid"), lambda: 1000, "needs root"),
        ((preflight, "missing_packages"), lambda: ["nftables", "runc"], "apt-get install -y nftables runc"),
    ],
)
def test_what_is_missing_is_said_in_one_line_with_a_way_around(
    monkeypatch: pytest.MonkeyPatch, attribute: tuple[object, str], value: object, message: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(*attribute, value)
    with pytest.raises(ClusterError, match=message) as error:
        preflight.check()
    assert "make demo KUBE_CONTEXT=NAME" in str(error.value)
    assert "\n" not in str(error.value)
