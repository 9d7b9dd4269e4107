"""Write docs/formats.md from the tables of formats that the tests go through.

    python scripts/formats_page.py [--check]

With --check nothing is written; the exit code is 1 if the page is not what the table gives.
"""

import sys
from collections.abc import Iterable, Sequence

from generated_page import ROOT, table, written

sys.path.insert(0, str(ROOT / "tests"))

from unit.trainer_data.file_table import (
    CODECS,
    JUDGMENTS,
    LAYOUTS,
    PACKINGS,
    SHAPES,
    Layout,
    Shape,
)
from unit.trainer_data.log_table import LOGS, Log

START = """<!-- Generated from the tables in tests/unit/trainer_data by `make generate`; edit these instead. -->

# Formats

A test reads each cell of these tables, and compares the searches, results and clicks that come of it.
[Bring your logs](logs.md) goes the whole way.
[Concepts](concepts.md#clicks-and-items-as-they-are-logged) say which events count.

## Logs

`yes`: read as it is. `refused`: the check fails, and names the field that it cannot use. `–`: not a form of this log.
Sessions and UBI are recognised by the first records. A table of events is
[declared](concepts.md#clicks-and-items-as-they-are-logged).
"""

SHAPES_TEXT = """
A file without a suffix, or with `.log`, is read by its content. These names were tried:
"""

PACKED = """
## Compression

{packings} are recognised by the content, whatever the name says. Parquet is
read with the codecs {codecs}.

## Folders of batches

`settle`: the writer leaves no marker, so the method needs
[`clickstream.settle`](concepts.md#batches-as-pipelines-write-them).
"""

JUDGED = """
## Judgments

What [`gate.judgments`](concepts.md#what-would-help) may name:
"""


def page() -> str:
    """The whole file."""
    logs = table(("log", "what is read", *(shape.name for shape in SHAPES)), map(_log, LOGS))
    shapes = "\n".join(f"- {shape.name}: {_names(shape.files)}" for shape in SHAPES)
    packed = PACKED.format(packings=_listed(list(PACKINGS)[1:]), codecs=_listed(CODECS[1:]))
    layouts = table(("written by", "below `clickstream/`", "the batch", "marker"), map(_layout, LAYOUTS))
    judgments = "\n".join(f"- {one.name}: {_names(one.files)}" for one in JUDGMENTS)
    return f"{START}\n{logs}\n{SHAPES_TEXT}\n{shapes}\n{packed}\n{layouts}\n{JUDGED}\n{judgments}\n"


def _log(log: Log) -> list[str]:
    return [log.name, log.meaning, *(_verdict(log, shape) for shape in SHAPES)]


def _verdict(log: Log, shape: Shape) -> str:
    if not log.name.startswith(shape.of):
        return "–"
    return "refused" if shape.name in log.refused else "yes"


def _layout(layout: Layout) -> list[str]:
    return [layout.writer, _names(layout.keys), f"`{layout.batch}`", "none: `settle`" if layout.settle else "yes"]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    sys.exit(written("docs/formats.md", page()))
