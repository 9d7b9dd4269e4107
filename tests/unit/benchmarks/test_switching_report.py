"""What the switching benchmark makes of answers: failures and mixtures are counted, and the graph is an SVG."""

from xml.etree import ElementTree

import pytest

load = pytest.importorskip("switching.load")
report = pytest.importorskip("switching.report")
OLD, NEW = "v000000000001", "v000000000002"


def answer(due: float, model: str = OLD, index: str | None = None, **more: object) -> object:
    return load.Answer(due, 0.01 * (1 + due), version=model, index_version=model if index is None else index, **more)


def test_failed_and_mixed_answers_are_counted_by_phase() -> None:
    answers = [
        answer(0.5),
        answer(1.5, OLD, NEW),
        answer(1.6, ""),
        answer(2.5, NEW),
        load.Answer(2.6, 30.0, "HTTP 503"),
    ]
    marks = [report.Mark(0.0, "quiet"), report.Mark(1.0, "switch"), report.Mark(2.0, "quiet")]
    found = report.summary(answers, marks, {"rate": 1.0})
    assert (found["requests"], found["failed"], found["mixed"], found["rate"]) == (5, 1, 2, 1.0)
    assert [(row["what"], row["failed"], row["mixed"]) for row in found["phases"]] == [
        ("quiet", 0, 0),
        ("switch", 0, 2),
        ("quiet", 1, 0),
    ]
    assert found["problems"] == {"HTTP 503": 1}
    assert found["max_ms"] == 30_000
    assert [line.split()[-6] for line in report.table(found).splitlines()[1:]] == ["1", "2", "2", "5"]


def test_the_graph_shows_versions_failures_and_marks() -> None:
    answers = [answer(0.5), answer(1.5, NEW), load.Answer(1.7, 0.2, "<HTTP 503>")]
    text = report.graph(answers, [report.Mark(1.0, "switch & wait")], "t < u")
    root = ElementTree.fromstring(text)  # noqa: S314 our own
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "t < u" in words
    assert "switch & wait" in words
    assert any(word and NEW in word for word in words)
    assert text.count('fill="#d62728"') == 2, "the failure and its legend"


def test_no_query_comes_twice() -> None:
    asked = load.queries(["red shoes", "blue hat"], 0)
    made = [next(asked) for _ in range(500)]
    assert len(set(made)) == 500
