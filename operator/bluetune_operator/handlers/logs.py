"""Structured logs: one JSON object a line, with the resource that the line is about."""

import contextvars
import json
import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from bluetune_operator.core.kinds import LOCK, TASKS, Key
from bluetune_operator.core.untrusted import clean

current_key: contextvars.ContextVar[Key | None] = contextvars.ContextVar("current_key", default=None)
"""What is being reconciled."""

LINE_CHARACTERS = 16_384
REPEATED_SECONDS, MAX_REPEATED = 600.0, 1024
_TRIED_AGAIN = re.compile(r"Request attempt #\S+ failed; will retry: ([^?\s]+ [^?\s]+)")
"""What kopf logs of a request that it tries again; the request without what is asked for."""
EXTRAS = ("task", "model", "method", "namespace", "reason", "phase")
_FIELDS = {TASKS.name: "task", "EmbeddingModel": "model", "FineTuningMethod": "method", LOCK: "model"}


class _About(logging.Filter):
    """Puts the resource that is being reconciled into every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        key = current_key.get()
        if key is not None:
            record.__dict__.setdefault("namespace", key.namespace)
            record.__dict__.setdefault(_FIELDS.get(key.kind, "name_"), key.name)
        return True


class _Repeated(logging.Filter):
    """Lets what kopf says of each try of a request through once in a while: a namespace may refuse for months."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: OrderedDict[str, float] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kopf") or (match := _TRIED_AGAIN.match(record.getMessage())) is None:
            return True
        now, what = self._clock(), match[1]
        if now - self._said.get(what, -REPEATED_SECONDS) < REPEATED_SECONDS:
            return False
        self._said[what] = now
        self._said.move_to_end(what)
        while len(self._said) > MAX_REPEATED:
            self._said.popitem(last=False)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in EXTRAS if getattr(record, name, None)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One message a line, whatever is in it: parts of it may be others', and must not pass for lines of ours."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        """See logging.Formatter."""
        line = clean(super().formatMessage(record), LINE_CHARACTERS)
        return line.replace("\n", "\\n")


def configure(log_format: str) -> None:
    """Log to standard error, as JSON or text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_About())
    handler.addFilter(_Repeated())
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
