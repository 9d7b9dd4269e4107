"""Pages, from what is known at a time. Everything in them is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal
from urllib.parse import unquote

import jinja2

from bluetune.core.kinds import Object, name_of
from bluetune.core.page.models import model_view
from bluetune.core.page.runs import Records, run_view
from bluetune.core.page.words import count
from bluetune.ui.feed import Snapshot


@dataclass(frozen=True)
class Place:
    """What a path leads to."""

    kind: Literal["models", "model", "run", "nothing"]
    name: str = ""
    model: Object | None = None
    task: Object | None = None


@dataclass(frozen=True)
class Page:
    """A page without its frame."""

    title: str
    body: str
    said: str
    """What has changed if this has: for whoever does not look at the page."""
    found: bool = True


def place(path: str, snapshot: Snapshot) -> Place:
    """The object that a path names."""
    folder, _, name = unquote(path).strip("/").partition("/")
    if not folder:
        return Place("models")
    if folder == "models" and (model := _named(snapshot.models, name)):
        return Place("model", name, model)
    if folder == "runs" and (task := _named(snapshot.tasks, name)):
        return Place("run", name, _named(snapshot.models, task["spec"]["modelRef"]["name"]), task)
    return Place("nothing", name)


def _named(things: Sequence[Object], name: str) -> Object | None:
    return next((thing for thing in things if name_of(thing) == name), None)


def page(at: Place, snapshot: Snapshot, records: Records, namespace: str, now: datetime) -> Page:
    """What a place shows at a time."""
    context = {"snapshot": snapshot, "namespace": namespace}
    if at.kind == "models":
        runs: dict[str, list[Object]] = {name_of(model): [] for model in snapshot.models}
        for task in snapshot.tasks:
            runs.get(task["spec"]["modelRef"]["name"], []).append(task)
        models = sorted((model_view(m, runs[name_of(m)], now) for m in snapshot.models), key=lambda m: m.name)
        lost = len(snapshot.tasks) - sum(map(len, runs.values()))
        body = _template("models").render(context, models=models, lost=lost)
        return Page(f"Models in {namespace}", body, "; ".join(f"{m.name}: {m.state}" for m in models))
    if at.kind == "model" and at.model is not None:
        view = model_view(at.model, snapshot.tasks, now)
        rollout = f"; rollout of {view.rollout.to}: {view.rollout.words}" if view.rollout else ""
        said = f"{view.name} serves {view.serves or 'no version'}, {view.state}{rollout}"
        return Page(f"Model {view.name}", _template("model").render(context, model=view), said)
    if at.kind == "run" and at.task is not None:
        run = run_view(at.task, at.model, records, now)
        said = f"run {run.line.name}: {run.line.phase}, {run.line.stage}"
        return Page(f"Run {run.line.name}", _template("run").render(context, run=run), said)
    body = _template("nothing").render(context, name=at.name)
    return Page("Not there", body, "This object is not there.", found=False)


def framed(shown: Page, namespace: str, path: str) -> str:
    """The whole document."""
    return _template("frame").render(page=shown, namespace=namespace, path=path)


def problem(message: str) -> str:
    """A document that says why there is no report."""
    return _template("problem").render(message=message)


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(f"{name}.html.j2")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bluetune.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    return environment
