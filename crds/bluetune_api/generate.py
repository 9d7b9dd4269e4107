"""Write what is generated from the types: the CRDs, the chart's copies of them, the reference page and the runbook.

    python -m bluetune_api.generate [--check] [--root DIR]

With --check nothing is written; the exit code is 1 if a file is not what the types give. Needs PyYAML (extra `dev`).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from bluetune_api import GROUP
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.reference import reference_page
from bluetune_api.resource import Resource
from bluetune_api.runbook import runbook_page
from bluetune_api.schema import custom_resource_definition
from bluetune_api.task import FineTuningTask

RESOURCES: tuple[type[Resource], ...] = (EmbeddingModel, FineTuningMethod, FineTuningTask)
HEADER = "# Generated from crds/bluetune_api by `make generate`; edit the types instead.\n"


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, and never writes anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def to_yaml(document: dict[str, Any]) -> str:
    """YAML as people write it: keys in the order given, long lines unbroken."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)


def files() -> dict[str, str]:
    """Every generated file, by its path in the repository."""
    generated: dict[str, str] = {}
    for resource in RESOURCES:
        definition = custom_resource_definition(resource)
        name = f"{GROUP}_{resource.PLURAL}.yaml"
        generated[f"crds/{name}"] = HEADER + to_yaml(definition)
        # the chart keeps its copy as a template, so that `helm upgrade` upgrades it and `helm uninstall` leaves it
        definition["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        body = to_yaml(definition).replace("{{", "{{ `{{` }}")
        generated[f"helm/bluetune/templates/crds/{name}"] = (
            "{{- if .Values.crds.install }}\n" + HEADER + body + "{{- end }}\n"
        )
    generated["docs/reference.md"] = reference_page(RESOURCES)
    generated["docs/runbook.md"] = runbook_page()
    return generated


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bluetune_api.generate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="root of the repository")
    options = parser.parse_args(arguments)
    stale = []
    for name, text in files().items():
        path: Path = options.root / name
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(f"{name} is out of date: run make generate" if options.check else f"wrote {name}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
