"""The reference page, from the same schemas as the CRDs."""

from collections.abc import Iterator
from typing import Any

from bluetune_api import API_VERSION
from bluetune_api.exit_codes import ExitCode
from bluetune_api.resource import Resource, immutable_paths
from bluetune_api.schema import Schema, part, structural_schema

EXIT_DESCRIPTIONS = {
    ExitCode.OK: ("`result.json` is written", "complete"),
    ExitCode.DATA_INVALID: ("the batch or the catalogue is broken or too small", "fail at once"),
    ExitCode.PLAN_INVALID: ("the plan or the settings cannot be used", "fail at once"),
    ExitCode.PLUGIN_FAILED: ("the plugin raised", "fail at once"),
    ExitCode.STORE_UNREACHABLE: (
        "the store did not answer, or refused, after retries",
        "replaced without counting, with backoff, for as long as that lasts; resumes",
    ),
    ExitCode.GPU_NOT_VISIBLE: ("the pod asks for GPUs, and torch cannot use any", "fail at once"),
    ExitCode.STORE_DAMAGED: ("an object in the store is damaged, missing or another's", "retry"),
    ExitCode.STOPPED: ("stopped by SIGTERM, what is finished is saved", "replaced without counting; resumes"),
}


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "object" if schema.get("type") == "object" else "any"
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    return str(kind)


def _limits(schema: Schema) -> str:
    said: list[str] = []
    if "enum" in schema:
        said.append(" \\| ".join(f"`{value}`" for value in schema["enum"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        said.append(f"{'>' if schema.get('exclusiveMinimum') else '≥'} {low}")
    if high is not None:
        said.append(f"{'<' if schema.get('exclusiveMaximum') else '≤'} {high}")
    for key, text in (
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {} entries"),
        ("maxProperties", "at most {} keys"),
    ):
        if key in schema:
            said.append(text.format(schema[key]))
    return ", ".join(said)


def _rows(schema: Schema, path: str, fixed: set[str]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, child in schema["properties"].items():
        marks = [
            mark for mark, holds in (("required", name in required), ("immutable", f"{path}{name}" in fixed)) if holds
        ]
        default = child.get("default")
        if default not in (None, {}):
            marks.append(f"default `{_literal(default)}`")
        cells = [f"`{path}{name}`", _type(child), ", ".join(marks), _limits(child), child.get("description", "")]
        yield "| " + " | ".join(cells) + " |"
        inner, suffix = child, "."
        if child.get("type") == "array":
            inner, suffix = child["items"], "[]."
        elif "additionalProperties" in child:
            inner, suffix = child["additionalProperties"], ".*."
        if "properties" in inner:
            yield from _rows(inner, f"{path}{name}{suffix}", fixed)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) or '""'


def _rules(schema: Schema, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"]:
            yield f"- `{path}{rule.get('fieldPath', '')}`: {rule['message']}"
    if "oneOf" in schema:
        yield f"- `{path}`: set exactly one of " + ", ".join(option["required"][0] for option in schema["oneOf"])
    for name, child in schema.get("properties", {}).items():
        inner = child
        if child.get("type") == "array":
            inner = child["items"]
        elif "additionalProperties" in child:
            inner = child["additionalProperties"]
        yield from _rules(inner, f"{path}.{name}")


def reference_page(resources: tuple[type[Resource], ...]) -> str:
    """docs/reference.md: every field of the three resources, and the exit codes."""
    lines = [
        "# Reference",
        "",
        "Generated from the types in `crds/bluetune_api` by `make generate`.",
        "",
        f"Group and version: `{API_VERSION}`. All three kinds are namespaced.",
    ]
    for resource in resources:
        short = ", ".join(f"`{name}`" for name in resource.SHORT_NAMES)
        lines += [
            "",
            f"## {resource.__name__}",
            "",
            " ".join((resource.__doc__ or "").split()),
            "",
            f"Short name {short}; `metadata.name` has at most {resource.NAME_LIMIT} characters.",
        ]
        for name in ("spec", "status"):
            model = part(resource, name)
            schema = structural_schema(model)
            lines += ["", f"### {resource.__name__}.{name}", ""]
            lines += ["| field | type | | values | meaning |", "|---|---|---|---|---|"]
            lines += _rows(schema, "", immutable_paths(model))
            if rules := list(_rules(schema, name)):
                lines += ["", "Rules:", "", *rules]
    lines += ["", "## Exit codes of the trainer", "", "| code | meaning | what the Job does |", "|---|---|---|"]
    lines += [f"| {code.value} | {meaning} | {action} |" for code, (meaning, action) in EXIT_DESCRIPTIONS.items()]
    lines += ["| other | crash, out of memory | retry; resumes; finished trials are never run again |", ""]
    return "\n".join(lines)
