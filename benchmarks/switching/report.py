"""From answers to a table, a record and a graph. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from quantiles import quantile
from switching.load import Answer

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 372, 56, 56, 44


@dataclass(frozen=True)
class Mark:
    """Something that happened, in seconds since the load began."""

    at: float
    what: str


def mixed(answers: Sequence[Answer]) -> int:
    """Answers whose model and vectors are of different versions, or that do not say."""
    return sum(a.problem is None and (not a.version or a.version != a.index_version) for a in answers)


def phases(answers: Sequence[Answer], marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """A row for the time from each mark to the next."""
    rows = []
    edges = [*(mark.at for mark in marks), float("inf")]
    for mark, end in zip(marks, edges[1:], strict=True):
        inside = [a for a in answers if mark.at <= a.due < end]
        rows.append({"what": mark.what, "from": round(mark.at, 1), **_numbers(inside)})
    return rows


def summary(answers: Sequence[Answer], marks: Sequence[Mark], facts: Mapping[str, Any]) -> dict[str, Any]:
    """All that the run found."""
    problems = Counter(a.problem for a in answers if a.problem)
    return {
        **facts,
        **_numbers(answers),
        "problems": dict(problems.most_common(10)),
        "versions": dict(Counter(a.version for a in answers if a.problem is None)),
        "phases": phases(answers, marks),
    }


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = [f"{'':<34} {'requests':>8} {'failed':>7} {'mixed':>6} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    for row in [*found["phases"], {"what": "all", **found}]:
        numbers = f"{row['requests']:>8} {row['failed']:>7} {row['mixed']:>6}"
        lines.append(f"{row['what']:<34} {numbers} {row['p50_ms']:>8.0f} {row['p99_ms']:>8.0f} {row['max_ms']:>8.0f}")
    return "\n".join(lines)


def graph(answers: Sequence[Answer], marks: Sequence[Mark], title: str) -> str:
    """An SVG: answers by second and version, failures in red, the slowest hundredth of each second as a line."""
    seconds = int(max((a.due for a in answers), default=0)) + 1
    versions = sorted(
        {a.version for a in answers if a.version}, key=lambda v: min(a.due for a in answers if a.version == v)
    )
    by_second: list[Counter[str]] = [Counter() for _ in range(seconds)]
    late: list[list[float]] = [[] for _ in range(seconds)]
    for a in answers:
        by_second[int(a.due)][a.version if a.problem is None else "failed"] += 1
        late[int(a.due)].append(a.seconds)
    most = max((sum(c.values()) for c in by_second), default=1) or 1
    slowest = [quantile(values, 0.99) for values in late]
    scale = max([*slowest, 0.1])
    step, plot = (WIDTH - 2 * LEFT) / seconds, HEIGHT - TOP - BOTTOM

    def x(second: float) -> float:
        return round(LEFT + second * step, 2)

    def y(share: float) -> float:
        return round(HEIGHT - BOTTOM - share * plot, 2)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16" font-size="14">{escape(title)}</text>',
        f'<text x="{LEFT - 6}" y="{TOP - 8}" text-anchor="end" font-size="10">answers/s</text>',
    ]
    for second, count in enumerate(by_second):
        under = 0
        for name in (*versions, "failed"):
            if count[name]:
                colour = "#d62728" if name == "failed" else COLOURS[versions.index(name) % len(COLOURS)]
                top, bottom = y((under + count[name]) / most), y(under / most)
                size = f'width="{round(step, 2)}" height="{round(bottom - top, 2)}"'
                parts.append(f'<rect x="{x(second)}" y="{top}" {size} fill="{colour}"/>')
                under += count[name]
    points = " ".join(f"{x(second + 0.5)},{y(value / scale)}" for second, value in enumerate(slowest))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#222222" stroke-width="1.2"/>')
    for number, mark in enumerate(marks):
        at, low = x(mark.at), 30 + 10 * (number % 3)
        parts.append(
            f'<line x1="{at}" x2="{at}" y1="{low}" y2="{HEIGHT - BOTTOM}" stroke="#888888" stroke-dasharray="3 3"/>'
        )
        parts.append(f'<text x="{at + 3}" y="{low}" font-size="10">{escape(mark.what)}</text>')
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{LEFT - 6}" y="{y(share) + 4}" text-anchor="end">{round(share * most)}</text>')
        parts.append(f'<text x="{WIDTH - LEFT + 6}" y="{y(share) + 4}">{share * scale:.2g} s</text>')
    parts += [
        f'<text x="{x(second)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{second} s</text>'
        for second in range(0, seconds, max(1, seconds // 8))
    ]
    legend = [*versions, "failed", "slowest 1 % of a second (right)"]
    colours = [*(COLOURS[i % len(COLOURS)] for i in range(len(versions))), "#d62728", "#222222"]
    column = (WIDTH - 2 * LEFT) / len(legend)
    for number, (text, colour) in enumerate(zip(legend, colours, strict=True)):
        left = round(LEFT + number * column, 1)
        parts.append(f'<rect x="{left}" y="{HEIGHT - 18}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{left + 14}" y="{HEIGHT - 9}" font-size="10">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _numbers(answers: Sequence[Answer]) -> dict[str, Any]:
    taken = [a.seconds * 1000 for a in answers]
    return {
        "requests": len(answers),
        "failed": sum(a.problem is not None for a in answers),
        "mixed": mixed(answers),
        **{f"p{int(q * 100)}_ms": round(quantile(taken, q), 1) for q in (0.5, 0.99)},
        "max_ms": round(max(taken, default=0.0), 1),
    }
