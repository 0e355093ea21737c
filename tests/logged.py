"""What the package logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect the sentences that are logged within."""
    logger, kept = logging.getLogger("rtmri_speech"), _Kept()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(kept)
    try:
        yield kept.sentences
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)
