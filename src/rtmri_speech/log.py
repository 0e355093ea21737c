"""The log on the terminal: what the package logs, each record as its sentence."""

from __future__ import annotations

import logging
import sys


class _AboveProgress(logging.Handler):
    """Writes records to stderr, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        tqdm = sys.modules.get("tqdm")
        if tqdm is None:
            print(self.format(record), file=sys.stderr)
        else:
            tqdm.tqdm.write(self.format(record), file=sys.stderr)
        sys.stderr.flush()


def show_log() -> None:
    """Show what the package logs, from `logging.INFO` on; once a process."""
    logger = logging.getLogger("rtmri_speech")
    logger.setLevel(logging.INFO)
    # Libraries that configure the root logger would show each record a second time.
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(_AboveProgress())
