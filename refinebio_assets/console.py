"""How a run's log looks in a terminal: time and message, without Dagster's own events."""

import logging

import dagster as dg


@dg.logger(config_schema={}, description="Short lines for a person who watches a terminal.")
def short_console(context: dg.InitLoggerContext) -> logging.Logger:
    """Messages of the assets as they come; of Dagster's own events only failures."""
    logger = logging.Logger("refinebio", logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(_Short("%(asctime)s  %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    return logger


class _Short(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(record.__dict__)
        meta = getattr(record, "dagster_meta", None) or {}
        if meta.get("orig_message"):
            record.msg, record.args = meta["orig_message"], ()
        return super().format(record)
