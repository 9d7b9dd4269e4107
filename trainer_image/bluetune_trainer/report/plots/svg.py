"""SVG elements, everything in them escaped."""

from markupsafe import Markup, escape

WIDTH = 360
"""Drawn for a phone; wider columns scale it."""
CHARACTER = 6.2
"""Mean width of a character of the plots' text, at 11 px."""


def el(name: str, *children: object, **attributes: object) -> Markup:
    """`<name attributes>children</name>`. `class_` is class, other underscores are hyphens; None leaves one out."""
    pairs = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
        if value is not None
    ]
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, Markup("").join(pairs), inner)


def figure(width: float, height: float, label: str, *children: object, class_: str = "plot") -> Markup:
    """An SVG picture with a text for those who cannot see it."""
    return el(
        "svg", *children, viewBox=f"0 0 {width:g} {height:g}", width=width, role="img", aria_label=label, class_=class_
    )


def text(x: float, y: float, content: str, class_: str = "tick", anchor: str = "start") -> Markup:
    """A line of text."""
    return el("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: list[tuple[float, float]]) -> str:
    """`d` of a line through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _plain(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
