"""The verdict on a manifest, the same that the API server gives, with every problem naming its field."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bluetune_api import API_VERSION
from bluetune_api.method import FineTuningMethod
from bluetune_api.model import EmbeddingModel
from bluetune_api.resource import Resource, changed_immutable_fields
from bluetune_api.schema import part
from bluetune_api.task import FineTuningTask

KINDS: dict[str, type[Resource]] = {kind.__name__: kind for kind in (EmbeddingModel, FineTuningMethod, FineTuningTask)}

Manifest = dict[str, Any]


class ManifestError(Exception):
    """A manifest that the API server would refuse; `problems` has a line for each field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse(manifest: Manifest) -> Resource:
    """A manifest as its type. Raises ManifestError."""
    kind = KINDS.get(str(manifest.get("kind")))
    if kind is None:
        raise ManifestError([f"kind: {manifest.get('kind')!r} is not one of {', '.join(KINDS)} ({API_VERSION})"])
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        raise ManifestError([_say(detail) for detail in error.errors(include_url=False)]) from None


def check_update(old: Manifest, new: Manifest) -> None:
    """Whether `new` may replace `old`. Raises ManifestError."""
    resource = parse(new)
    changed = changed_immutable_fields(old["spec"], new["spec"], part(type(resource), "spec"))
    if changed:
        raise ManifestError([f"spec.{name}: is immutable; make a new object instead" for name in changed])


def _say(detail: ErrorDetails) -> str:
    where = ".".join(str(step) for step in detail["loc"]) or "manifest"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error" and message.split(":", 1)[0].split(".")[-1].isidentifier():
        head, _, rest = message.partition(": ")
        return f"{where}.{head}: {rest}" if rest and where != "manifest" else message if rest else f"{where}: {message}"
    if detail["type"] in ("missing", "extra_forbidden", "value_error"):
        return f"{where}: {message}"
    shown = repr(detail["input"])
    return f"{where}: {message}, not {shown[:80] + '…' if len(shown) > 80 else shown}"
