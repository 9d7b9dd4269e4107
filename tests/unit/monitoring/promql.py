"""A query, checked against the metrics that there are: names, labels and their values, and what functions take."""

import re
from collections.abc import Mapping
from typing import Any, get_args

import promql_parser as promql

from bluetune_api.model import Rollout
from bluetune_api.reasons import ConditionType, Phase, Reason
from bluetune_operator.reconciler.base import NoticeOutcome

OF_THE_TARGET = frozenset({"namespace", "pod"})
"""Labels that Prometheus adds to what it scrapes in a cluster."""
OUTCOMES = {"bluetune_rollouts_total": {"Done", "Failed"}, "bluetune_notices_total": set(get_args(NoticeOutcome))}
VALUES: dict[str, set[str]] = {
    "condition": set(get_args(ConditionType)),
    "phase": set(get_args(Phase)),
    "reason": set(get_args(Reason)),
    "status": {"True", "False", "Unknown"},
    "step": set(get_args(Rollout.model_fields["step"].annotation)),
}
COUNTS = ("_total", "_count", "_bucket", "_sum")
"""How names of what only grows end."""


class QueryError(Exception):
    """What is wrong with a query."""


def labels_of(query: str, metrics: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The labels of a query's result.

    Args:
        query: PromQL, without macros of Grafana's.
        metrics: the labels of each metric that there is.

    Raises:
        QueryError: it is no PromQL, or names what does not exist.
    """
    try:
        parsed = promql.parse(query)
    except ValueError as error:
        raise QueryError(f"{error}: {query}") from error
    return _labels(parsed, metrics) or frozenset()


def selectors(query: str) -> list[tuple[str, frozenset[str]]]:
    """The metrics that a query names, each with the labels by which it chooses."""
    found: list[tuple[str, frozenset[str]]] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((str(node.name), frozenset(each.name for each in node.matchers.matchers)))

    promql.walk(promql.parse(query), visit)
    return found


def _labels(node: Any, metrics: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """None of a number."""
    match node:
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case promql.ParenExpr() | promql.UnaryExpr():
            return _labels(node.expr, metrics)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, metrics)
        case promql.VectorSelector():
            return _of_selector(node, metrics)
        case promql.AggregateExpr():
            inner = _labels(node.expr, metrics) or frozenset()
            return _among(node.modifier.labels if node.modifier else (), inner)
        case promql.Call():
            return _of_call(node, metrics)
        case promql.BinaryExpr():
            return _of_pair(node, metrics)
    raise QueryError(f"{type(node).__name__} is not checked")


def _of_selector(node: promql.VectorSelector, metrics: Mapping[str, frozenset[str]]) -> frozenset[str]:
    name = str(node.name)
    if name not in metrics:
        raise QueryError(f"there is no metric {name}")
    for matcher in node.matchers.matchers:
        _among([matcher.name], metrics[name])
        known = OUTCOMES[name] if matcher.name == "outcome" else VALUES.get(matcher.name)
        if known is None or matcher.value.startswith("$"):
            continue
        values = (
            matcher.value.split("|") if matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe) else [matcher.value]
        )
        if unknown := set(values) - known:
            raise QueryError(f"{name} is never {matcher.name}={sorted(unknown)}")
    return metrics[name]


def _of_call(node: promql.Call, metrics: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    found = [_labels(each, metrics) for each in node.args]
    vectors = [labels for labels in found if labels is not None]
    match node.func.name:
        case "time":
            return None
        case "vector" | "absent":
            return frozenset()
        case "rate" | "increase":
            ((name, _),) = selectors(node.args[0].prettify())
            if not name.endswith(COUNTS):
                raise QueryError(f"{name} is no counter")
            return vectors[0]
        case "changes":
            return vectors[0]
        case "histogram_quantile":
            _among(["le"], vectors[0])
            return vectors[0] - {"le"}
    raise QueryError(f"{node.func.name}() is not checked")


def _of_pair(node: promql.BinaryExpr, metrics: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    left, right = _labels(node.lhs, metrics), _labels(node.rhs, metrics)
    if left is None or right is None:
        return right if left is None else left
    on = node.modifier.matching.labels if node.modifier and node.modifier.matching else None
    if on is not None:
        _among(on, left)
        _among(on, right)
    elif left != right:
        raise QueryError(f"{sorted(left)} never match {sorted(right)}: {node.prettify()}")
    return left


def _among(labels: Any, known: frozenset[str]) -> frozenset[str]:
    if unknown := set(labels) - known:
        raise QueryError(f"no label {sorted(unknown)} there, only {sorted(known)}")
    return frozenset(labels)


def of_template(text: str) -> set[str]:
    """The labels that an annotation of an alert, or a legend of Grafana, shows."""
    return set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))
