"""What a watch writes as it goes on: lines for a person, or JSON for a machine."""

import json
import logging
import sys
from datetime import UTC, datetime

from fairline.errors import UsageError

FORMATS = ("text", "json")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        text = f"{moment:%H:%M:%S}  {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"ts": moment, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def log_to_stderr(form: str) -> None:
    """Send Fairline's log to standard error. Raises `UsageError` for a format that there is not."""
    if form not in FORMATS:
        raise UsageError(f"there is no log format {form!r}", remedy=f"--log-format takes {', '.join(FORMATS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Lines())
    logger = logging.getLogger("fairline")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # A retry that worked is no news.
    logging.getLogger("fairline.kalshi").setLevel(logging.WARNING)
