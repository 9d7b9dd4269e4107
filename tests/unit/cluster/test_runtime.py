"""What is changed in a container's specification before runc sees it."""

from pathlib import Path
from typing import Any

import pytest

from cluster import runtime


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "id"], "/b"),
        (["create", "--bundle=/b", "id"], "/b"),
        (["create", "-b", "/b", "id"], "/b"),
        (["create", "id"], None),
    ],
)
def test_options_are_found_however_they_are_written(arguments: list[str], value: str | None) -> None:
    assert runtime.option(arguments, "--bundle", "-b") == value


def test_limits_and_score_stay_as_inherited() -> None:
    process: dict[str, Any] = {"rlimits": [{"type": "RLIMIT_NOFILE"}], "oomScoreAdj": -997, "args": ["x"]}
    runtime.soften(process)
    assert process == {"rlimits": [], "args": ["x"]}


def test_folders_of_the_host_are_bound_read_only_and_parents_first(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    spec: dict[str, Any] = {"mounts": [{"destination": "/proc"}, {"destination": str(inner / "volume")}]}
    runtime.bind_host(spec, [str(inner), str(tmp_path), str(tmp_path / "missing"), ""])
    assert [m["destination"] for m in spec["mounts"]] == ["/proc", str(tmp_path), str(inner), str(inner / "volume")]
    assert all("ro" in m["options"] for m in spec["mounts"] if m.get("type") == "bind")
