"""
Log lines: one JSON object each for machines, plain text for terminals.

What a caller passes as `extra` (action, task_id, run, fence, node_id) stands beside the message in both.
"""

from __future__ import annotations

import logging
import logging.config
import sys
import tomllib
from pathlib import Path
from typing import Any

import orjson

from .errors import ConfigurationError
from .timestamps import to_iso

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_MILLIS = 1000


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """
    Return what the caller of the log method passed as `extra`.
    """
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}


QUIETER = {"elastic_transport": "WARNING", "elastic_transport.node_pool": "ERROR", "apscheduler": "WARNING"}
"""Libraries that say too much: the client logs each request at INFO, and each failed one twice, as we do once."""


class JsonFormatter(logging.Formatter):
    """
    One JSON object a line: time, level, logger, message, the extras, and the exception if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """
        Return the line.
        """
        line = extras(record) | {
            "time": to_iso(int(record.created * _MILLIS)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        ordered = {name: line.pop(name) for name in ("time", "level", "logger", "message")} | line
        return orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """
    Time, level and message for a terminal, with the extras behind it as `name=value`.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """
        Return the line without an exception's text.
        """
        shown = " ".join(f"{name}={value}" for name, value in extras(record).items() if name != "action")
        return super().formatMessage(record) + (f"  [{shown}]" if shown else "")


def configure_logging(level: str = "INFO", format: str = "auto", file: Path | None = None) -> None:
    """
    Send log lines to standard error as these settings say.

    Args:
        file: TOML in the form that `dictConfig` takes; it replaces the rest.

    Raises:
        ConfigurationError: the file cannot be read or says something that logging does not understand.
    """
    if file is None:
        chosen = ("text" if sys.stderr.isatty() else "json") if format == "auto" else format
        logging.config.dictConfig(_default(level, chosen))
        return
    try:
        logging.config.dictConfig(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(f"log_config: cannot use {file}: {error}") from error


def _default(level: str, formatter: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": f"{__name__}.{JsonFormatter.__name__}"},
            "text": {"()": f"{__name__}.{TextFormatter.__name__}"},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": formatter}
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {name: {"level": level} for name, level in QUIETER.items()},
    }
