"""Custom resources as nobody means them: some the API server takes, some it does not."""

import copy
import random
from pathlib import Path
from typing import Any

import yaml

from bluetune_operator.core.kinds import METHODS, MODELS, TASKS

CRDS = Path(__file__).resolve().parents[2] / "crds"
PLURALS = {kind.name: kind.plural for kind in (MODELS, METHODS, TASKS)}
TEXTS = (
    "a",
    "",
    " ",
    "m1",
    "text",
    "0",
    "-",
    "null",
    "naïve-Ω-模型-\U0001f9ea",
    "\u202egnp.exe",
    "a\nb\tc\x1b[2J",
    "../../etc/passwd",
    "{{ .Values.secret }}",
    "s3://bucket/prefix",
    "http://127.0.0.1:1/",
    "v0123456789ab",
    "x" * 64,
    "y" * 300,
    "z" * 70_000,
)
NUMBERS = (0, 1, -1, 2, 7, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 1e-308, 1e308)
JUNK: tuple[Any, ...] = (None, True, [], {}, [[[[]]]], {"a": {"b": {"c": None}}}, *NUMBERS, *TEXTS)


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind's spec."""
    definition = yaml.safe_load((CRDS / f"bluetune.dev_{PLURALS[kind]}.yaml").read_text())
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def value(schema: dict[str, Any], chance: random.Random, depth: int = 0) -> Any:
    """A value of the right type, at the edges of what is allowed as often as not; patterns are not kept."""
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer" | "number" as kind:
            number = chance.choice([schema.get("minimum", 0), schema.get("maximum", 1), *NUMBERS])
            return int(number) if kind == "integer" and abs(number) < 2**63 else number
        case "string":
            return chance.choice(TEXTS)[: schema.get("maxLength", 100_000)]
        case "array":
            count = chance.choice([0, 1, 2, min(schema.get("maxItems", 3), 70)])
            return [value(schema.get("items", {}), chance, depth + 1) for _ in range(count)] if depth < 5 else []
        case "object":
            known = schema.get("properties", {})
            made = {
                name: value(inner, chance, depth + 1)
                for name, inner in known.items()
                if name in schema.get("required", ()) or chance.random() < 0.3
            }
            extra = schema.get("additionalProperties")
            if isinstance(extra, dict):
                made |= {text: value(extra, chance, depth + 1) for text in chance.sample(TEXTS[:10], 2)}
            return made
    return chance.choice(JUNK)


def mutate(spec: dict[str, Any], schema: dict[str, Any], chance: random.Random) -> None:
    """Change one place somewhere in a spec."""
    place, known = spec, schema.get("properties", {})
    while known:
        name = chance.choice([*known, *known, "unknown"])
        inner = known.get(name, {})
        if inner.get("properties") and isinstance(place.get(name, {}), dict) and chance.random() < 0.8:
            place = place.setdefault(name, {})
            known = inner["properties"]
            continue
        if chance.random() < 0.1:
            place.pop(name, None)
        else:
            place[name] = value(inner, chance) if chance.random() < 0.75 else chance.choice(JUNK)
        return


class Fuzzer:
    """Specs of the three kinds from a seed; they refer to each other, to themselves, and to nothing."""

    def __init__(self, bases: dict[str, dict[str, Any]], seed: int) -> None:
        self._bases = bases
        self._chance = random.Random(seed)
        self._schemas = {kind: schema_of(kind) for kind in PLURALS}
        self._names = {
            "EmbeddingModel": [f"m{n}" for n in range(40)],
            "FineTuningMethod": [f"f{n}" for n in range(20)],
            "FineTuningTask": [f"t{n}" for n in range(300)],
        }

    def next(self) -> tuple[str, dict[str, Any]]:
        """A kind and an object of it; names come again and again."""
        chance = self._chance
        kind = chance.choices(list(PLURALS), [2, 1, 5])[0]
        thing = copy.deepcopy(self._bases[kind])
        thing["metadata"] = {"name": chance.choice(self._names[kind])}
        spec = thing["spec"]
        if kind != "FineTuningMethod":
            methods = [*self._names["FineTuningMethod"], "void", thing["metadata"]["name"]]
            spec["methodRef"] = {"name": chance.choice(methods)}
        if kind == "FineTuningTask":
            spec["modelRef"] = {"name": chance.choice([*self._names["EmbeddingModel"], "void"])}
            if chance.random() < 0.3:
                spec["idempotencyKey"] = chance.choice(["k", "naïve", " "])
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            mutate(spec, self._schemas[kind], chance)
        return kind, thing
