"""The report as one HTML file: no address in it is ever loaded, and no script but its own can run."""

import base64
import hashlib
import json
from functools import cache

import jinja2
from markupsafe import Markup

from bluetune_api.records import Trial
from bluetune_trainer.report import numbers
from bluetune_trainer.report.comparison import gate_changes, headline, moved, validation_changes
from bluetune_trainer.report.content import RunFacts
from bluetune_trainer.report.evidence import facts_of, interval_words
from bluetune_trainer.report.examples import examples
from bluetune_trainer.report.plots.bars import clicks_by_position, examination_by_place, lying
from bluetune_trainer.report.plots.curves import curves
from bluetune_trainer.report.plots.gains import gains_by_query, spread
from bluetune_trainer.report.plots.intervals import intervals
from bluetune_trainer.report.plots.parallel import MAX_UPRIGHT, WIDE, axes_of, stacked, upright
from bluetune_trainer.report.trials import Row, constant, of_preset, rows, varying


def render(facts: RunFacts) -> str:
    """The whole file."""
    environment = _environment()
    style, script = (_source(environment, name) for name in ("style.css", "script.js"))
    table = rows(facts.trials, facts.best.trial, facts.baseline.get(facts.objective))
    evidence, gate, metric = facts.evidence, facts.gate, facts.plan.gate.metric
    gains = evidence.after.metrics[metric] - evidence.before.metrics[metric] if evidence is not None else None
    validation, still = moved(validation_changes(facts))
    return environment.get_template("page.html.j2").render(
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        facts=facts,
        plan=facts.plan,
        check=facts.check,
        head=headline(facts),
        gate_changes=gate_changes(facts),
        gate_facts=facts_of(gate, facts.plan.gate) if gate is not None else [],
        interval_words=interval_words(gate) if gate is not None else "",
        interval_plot=intervals(gate.judges, facts.plan.gate.min_delta, metric) if gate is not None else "",
        validation=validation,
        still=still,
        gains_plot=gains_by_query(gains) if gains is not None else "",
        spread=spread(gains) if gains is not None else None,
        position_plot=clicks_by_position(facts.positions) if len(facts.positions.shown) else None,
        examination_plot=examination_by_place(gate.examination) if gate is not None and gate.examination else None,
        curves=_curves(facts),
        rows=table,
        varying=varying(facts.trials),
        constant=constant(facts.trials),
        of_preset=of_preset(facts.trials, facts.named),
        coordinates=_coordinates(facts, table),
        examples=examples(evidence, metric, facts.texts) if evidence is not None and evidence.queries else [],
        example_metric=metric,
        stage_plot=_stages(facts),
        trial_seconds=sum(trial.seconds for trial in facts.trials),
        manifest=_manifest(facts),
        asked=_pretty(facts.plan.method.wire() | {"gate": facts.plan.gate.wire()}),
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bluetune_trainer.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        numbers.metric,
        numbers.change,
        numbers.count,
        numbers.percent,
        numbers.duration,
        numbers.size,
        numbers.value,
        numbers.metric_name,
    ):
        environment.filters[function.__name__] = function
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None  # noqa: S101 - it was made with one
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """Content-Security-Policy: nothing but this style and this script, known by their hashes."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _curves(facts: RunFacts) -> list[Markup]:
    best, name = facts.best.trial, numbers.metric_name(facts.objective)
    shown: list[Trial] = list(facts.trials)
    drawn = [
        curves(shown, best, f"{name}, validation", lambda point: point.quality, facts.baseline.get(facts.objective)),
        curves(shown, best, "loss, validation", lambda point: point.val_loss),
        curves(shown, best, "loss, training", lambda point: point.train_loss),
    ]
    return [plot for plot in drawn if plot]


def _coordinates(facts: RunFacts, table: list[Row]) -> dict[str, Markup] | None:
    names = varying(facts.trials)
    if not names or len(table) < 2:
        return None
    axes = axes_of(names, table, facts.objective)
    wide = upright(axes, table) if len(axes) <= MAX_UPRIGHT else stacked(axes, table, WIDE)
    return {"wide": wide, "narrow": stacked(axes, table)}


def _stages(facts: RunFacts) -> Markup | None:
    if not facts.stages:
        return None
    return lying([(s.name, s.seconds, numbers.duration(s.seconds)) for s in facts.stages], "Seconds of each stage")


def _manifest(facts: RunFacts) -> str:
    wire = facts.manifest.wire()
    probe = wire["probe"]
    wire["probe"] = {
        "texts": probe["texts"],
        "vectors": f"{len(probe['vectors'])} × {facts.manifest.dimension} numbers, left out here",
    }
    return _pretty(wire)


def _pretty(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)
