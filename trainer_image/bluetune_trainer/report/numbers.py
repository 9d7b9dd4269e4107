"""Numbers and names as a person reads them."""

import json
import math

from bluetune_trainer.search.evidence import Floats

MINUS = "−"
_NAMES = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "recall": "Recall",
    "judged": "Judged",
    "not_irrelevant_dist_shift": "Shift of clicked results",
    "irrelevant_dist_shift": "Shift where nothing was clicked",
}
LONGEST_VALUE = 40


def metric(value: float) -> str:
    """A metric, to four decimals."""
    return f"{value + 0.0:.4f}".replace("-", MINUS)


def change(value: float) -> str:
    """A difference, with its sign."""
    value = round(value, 4) + 0.0
    return "±0.0000" if value == 0 else f"{value:+.4f}".replace("-", MINUS)


def count(value: int) -> str:
    """`12 345`, with a thin no-break space."""
    return f"{value:,}".replace(",", "\u202f")


def percent(share: float) -> str:
    """`34 %`; never 0 % or 100 % for what is not."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return f"{math.floor(share * 1000) / 10:.1f} %"
    return f"{100 * share:.0f} %"


def risk(share: float) -> str:
    """`3.5 %`, `0.25 %`: two digits, however small."""
    return f"{100 * share:.2g}\u202f%"


def duration(seconds: float) -> str:
    """`0.4 s`, `48 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(number: int) -> str:
    """Bytes with a unit."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def number(value: float) -> str:
    """A parameter or a tick: three significant digits, powers of ten where they are shorter."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        digits = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{digits}e{int(exponent)}"
    else:
        text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return text.replace("-", MINUS)


def value(raw: object) -> str:
    """A parameter of any kind."""
    if isinstance(raw, bool) or raw is None:
        return {True: "true", False: "false", None: "none"}[raw]
    if isinstance(raw, int | float):
        return str(raw).replace("-", MINUS) if isinstance(raw, int) else number(raw)
    text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def metric_name(name: str) -> str:
    """`ndcg@10` as `NDCG@10`; others as they are."""
    head, at, depth = name.partition("@")
    return _NAMES[head] + at + depth if head in _NAMES else name


def mean(values: Floats) -> float:
    """Mean; 0 of nothing."""
    return float(values.mean()) if len(values) else 0.0


def one_line(text: str, most: int) -> str:
    """White space made plain, and cut."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
