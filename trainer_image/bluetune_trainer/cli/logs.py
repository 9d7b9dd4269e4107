"""Structured logs on standard error: JSON for a cluster, text for a terminal."""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import TextIO

LEVEL, FORMAT = "BLUETUNE_LOG_LEVEL", "BLUETUNE_LOG_FORMAT"
_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock} {record.levelname.lower():7} {record.getMessage()}"
        if record.exc_info:
            extra += "\n" + self.formatException(record.exc_info)
        return f"{text} {extra}".rstrip()


class _Adding(logging.Filter):
    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def filter(self, record: logging.LogRecord) -> bool:
        vars(record).update(self._fields)
        return True


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def set_up(*, default_level: str, fields: Mapping[str, str] | None = None, stream: TextIO | None = None) -> None:
    """Log to standard error; `fields` (model, task) are in every entry."""
    out = stream or sys.stderr
    wanted = os.environ.get(FORMAT) or ("text" if out.isatty() else "json")
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Text() if wanted == "text" else _Json())
    if fields:
        handler.addFilter(_Adding(fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bluetune_trainer").setLevel((os.environ.get(LEVEL) or default_level).upper())
