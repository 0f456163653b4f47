"""The log of a watch on standard error: lines for people, or JSON for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from fairline.kalshi.redaction import redact
from fairline.text import sanitize, sanitize_lines

LogFormat = Literal["text", "json"]


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        text = f"{moment:%H:%M:%S}  {level}{_clean(record.getMessage())}"
        trace = sanitize_lines(redact(self.formatException(record.exc_info))) if record.exc_info else ""
        return f"{text}\n{trace}" if trace else text


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = sanitize_lines(redact(self.formatException(record.exc_info)))
        return json.dumps(entry, ensure_ascii=False)


def _clean(message: str) -> str:
    """Return a message as one line without control characters and private keys."""
    return sanitize(redact(message))


def log_to_stderr(log_format: LogFormat) -> None:
    """Send Fairline's log to standard error in one of the two formats."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logger = logging.getLogger("fairline")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Retries that succeed are not worth a line.
    logging.getLogger("fairline.kalshi").setLevel(logging.WARNING)
