"""Bars: upright by position, lying by name."""

from collections.abc import Sequence

from markupsafe import Markup

from bluetune_trainer.report import numbers
from bluetune_trainer.report.content import Positions
from bluetune_trainer.report.plots.scale import Scale, ticks
from bluetune_trainer.report.plots.svg import CHARACTER, WIDTH, el, figure, line, text

ROW = 30


def clicks_by_position(positions: Positions) -> Markup:
    """Clicks at each position, with the share of the shown results that was clicked."""
    clicked, shown = positions.clicked.tolist(), positions.shown.tolist()
    height, left, right, top, bottom = 210.0, 40.0, WIDTH - 6.0, 22.0, 170.0
    most = max([*clicked, 1])
    y = Scale(0, most, bottom, top)
    slot = (right - left) / max(len(clicked), 1)
    parts: list[Markup] = []
    for tick in ticks(0, most, 4):
        parts += [line(left, y(tick), right, y(tick), "grid")]
        parts += [text(left - 6, y(tick) + 4, numbers.count(int(tick)), anchor="end")] if tick == int(tick) else []
    every = 1 if len(clicked) <= 12 else 2
    for i, clicks in enumerate(clicked):
        x, middle = left + i * slot, left + (i + 0.5) * slot
        share = numbers.percent(clicks / shown[i]) if shown[i] else "–"
        told = f"position {i + 1}: {clicks} clicks on {shown[i]} results shown ({share})"
        bar = el(
            "rect",
            el("title", told),
            x=round(x + slot * 0.14, 1),
            y=round(y(clicks), 1),
            width=round(slot * 0.72, 1),
            height=round(bottom - y(clicks), 1),
            rx=2,
            class_="bar",
        )
        parts.append(bar)
        if len(clicked) <= 10:
            parts.append(text(middle, y(clicks) - 5, share.replace(" ", ""), "value", "middle"))
        if i % every == 0:
            parts.append(text(middle, bottom + 15, str(i + 1), anchor="middle"))
    parts.append(line(left, bottom, right, bottom, "axis"))
    parts.append(text((left + right) / 2, height - 6, "position at which the result was shown", "label", "middle"))
    parts.append(text(0, 11, "clicks", "label"))
    return figure(WIDTH, height, "Clicks by position", *parts)


def examination_by_place(looked: Sequence[float]) -> Markup:
    """How likely the result at each place is looked at, against the first place."""
    height, left, right, top, bottom = 210.0, 40.0, WIDTH - 6.0, 38.0, 170.0
    y = Scale(0, 1, bottom, top)
    slot = (right - left) / max(len(looked), 1)
    parts: list[Markup] = []
    for tick in (0.0, 0.5, 1.0):
        parts += [line(left, y(tick), right, y(tick), "grid")]
        parts += [text(left - 6, y(tick) + 4, f"{tick:.1f}", anchor="end")]
    for i, share in enumerate(looked):
        x, middle = left + i * slot, left + (i + 0.5) * slot
        bar = el(
            "rect",
            el("title", f"place {i + 1}: looked at {share:.2f} times as often as the first"),
            x=round(x + slot * 0.14, 1),
            y=round(y(share), 1),
            width=round(slot * 0.72, 1),
            height=round(bottom - y(share), 1),
            rx=2,
            class_="bar",
        )
        parts += [bar, text(middle, y(share) - 5, f"{share:.2f}", "value", "middle")]
        last = i == len(looked) - 1
        parts.append(text(middle, bottom + 15, f"{i + 1}+" if last else str(i + 1), anchor="middle"))
    parts.append(line(left, bottom, right, bottom, "axis"))
    parts.append(text((left + right) / 2, height - 6, "place on the page", "label", "middle"))
    parts.append(text(0, 11, "looked at, the first place is 1", "label"))
    return figure(WIDTH, height, "Examination by place", *parts)


def lying(rows: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """Rows of (name, value, value as text)."""
    left = min(max([len(name) for name, _, _ in rows], default=0) * CHARACTER + 10, 150)
    right = WIDTH - max([len(told) for _, _, told in rows], default=0) * CHARACTER - 12
    x = Scale(0, max([value for _, value, _ in rows], default=0) or 1, left, right)
    parts: list[Markup] = []
    for i, (name, value, told) in enumerate(rows):
        middle = i * ROW + ROW / 2
        length = max(x(value) - left, 1.5)
        parts.append(text(left - 8, middle + 4, name, anchor="end"))
        parts.append(el("rect", x=left, y=middle - 8, width=round(length, 1), height=16, rx=2, class_="bar"))
        parts.append(text(left + length + 6, middle + 4, told, "value"))
    return figure(WIDTH, max(len(rows) * ROW, ROW), label, *parts)
