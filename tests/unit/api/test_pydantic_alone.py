"""The API package needs pydantic alone; only what talks to S3 or generates files needs more."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import bluetune_api

PACKAGE = Path(bluetune_api.__file__).parent
NEEDS_MORE = {"s3", "s3_answers", "s3_signing", "s3_transfers", "identity", "generate"}
"""minio, which operator and trainer install, and PyYAML."""


def closure(name: str) -> set[str]:
    """A distribution and all that it requires, without extras."""
    found, todo = set[str](), [name]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            wanted = importlib.metadata.requires(name) or []
            todo += [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in wanted if "extra ==" not in line]
    return found


def test_it_imports_with_pydantic_alone(tmp_path: Path) -> None:
    for name in closure("pydantic"):
        for file in importlib.metadata.files(name) or []:
            top = file.parts[0]
            if top != ".." and not (tmp_path / top).exists():
                (tmp_path / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    (tmp_path / "bluetune_api").symlink_to(PACKAGE)
    names = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in NEEDS_MORE | {"__init__"})
    assert "task" in names
    program = f"""
import importlib, json, sys
sys.path.insert(0, {str(tmp_path)!r})
for name in {names!r}:
    importlib.import_module("bluetune_api." + name)
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names)))
"""
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert {"bluetune_api", "pydantic"} <= set(json.loads(result.stdout))
