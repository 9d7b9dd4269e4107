"""Where things lie."""

from pathlib import Path

import pytest

from cluster import forward, paths
from cluster.errors import ClusterError


def test_folders_inside_others_are_bound_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CHECKOUT", Path("/srv/bluetune"))
    monkeypatch.setattr(paths.sys, "prefix", "/srv/bluetune/.venv")
    monkeypatch.setattr(paths.sys, "base_prefix", "/usr")
    monkeypatch.setenv("BLUETUNE_CACHE", "/var/cache/bluetune")
    assert sorted(paths.host_dirs()) == [Path("/srv/bluetune"), Path("/var/cache/bluetune")]


def test_an_interpreter_outside_usr_is_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths.sys, "base_prefix", "/home/me/python3.11")
    assert Path("/home/me/python3.11") in paths.host_dirs()


def test_clusters_share_neither_images_nor_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLUETUNE_CLUSTER_STATE", "/run/other")
    other, default = paths.State.chosen(), paths.State.chosen(paths.DEFAULT_STATE)
    assert other.root == Path("/run/other")
    assert other.images != default.images
    assert other.cgroup != default.cgroup


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("8080:default/search:80", (8080, "default/search", 80)),
        ("0:10.90.0.1:9000", (0, "10.90.0.1", 9000)),
    ],
)
def test_a_forwarding_rule(text: str, rule: tuple[int, str, int]) -> None:
    assert forward.parse(text) == rule


@pytest.mark.parametrize("text", ["", "80", "80:80", "a:host:80", "80:host:0", "80:host:http", "70000:host:80"])
def test_a_wrong_forwarding_rule_is_explained(text: str) -> None:
    with pytest.raises(ClusterError, match="PORT:HOST:PORT"):
        forward.parse(text)
