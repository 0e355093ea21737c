"""Logger plugin of Snakemake: one line with stage, share done and time left, and a sentence for each failure.

`profiles/default` selects it (`--logger rtmri`). On a terminal the line moves; elsewhere, as in a log file, each rule
is one plain line when its first job starts. Snakemake's own messages are then only in its log file, in
`.snakemake/log`. Dry runs, and runs with `--logger-rtmri-full`, `--verbose`, `--printshellcmds` or `--debug-dag`, have
Snakemake's usual output.

The workflow's own sentences, such as its summary at the end, are records of the child `WORKFLOW` of Snakemake's logger.
A record with the attribute `known`, a `run.Known`, is not shown: it says what the workflow knows about its rules.
"""

import dataclasses
import logging
import shutil
import sys
import threading
import time
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_rtmri.run import Run, fitted

WORKFLOW = "workflow"
"""Name of the child of Snakemake's logger for sentences of the workflow itself."""

REFRESH = 1.0
"""Seconds between updates of the moving line."""

TAIL = 10
"""Lines shown of the log of a failed job that does not end in an error message."""


@dataclasses.dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the plugin, as flags of Snakemake."""

    full: bool = dataclasses.field(
        default=False, metadata={"help": "Show Snakemake's usual output instead of one line of progress."}
    )


class LogHandler(LogHandlerBase):
    """Handler of Snakemake's log records; Snakemake calls it in a thread of its own."""

    def __post_init__(self) -> None:
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._run: Run | None = None
        self._slots = 1
        # What Snakemake says while planning is shown only if no job runs: "Nothing to be done".
        self._held: list[str] = []
        # Exceptions of jobs that are yet to be reported as failed.
        self._raised: list[str] = []
        self._width = 0
        self._stopped = threading.Event()

    @property
    def writes_to_stream(self) -> bool:
        """Whether this output replaces Snakemake's."""
        common = self.common_settings
        full = isinstance(self.settings, LogHandlerSettings) and self.settings.full
        return not (full or common.dryrun or common.verbose or common.printshellcmds or common.debug_dag)

    writes_to_file = has_filter = has_formatter = needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or the progress that it reports."""
        if not self.writes_to_stream:
            return
        event = getattr(record, "event", None)
        if event is not None:
            self._advance(event, record)
        elif record.name.endswith(f".{WORKFLOW}"):
            if self._run is not None and hasattr(record, "known"):
                self._run.known = record.known
            else:
                self._show(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._held.clear()
            self._show(self.format(record))
        elif self._run is None:
            self._held.append(self.format(record))

    def _advance(self, event: str, record: logging.LogRecord) -> None:
        now, said = time.monotonic(), vars(record)
        if event == LogEvent.RESOURCES_INFO:
            self._slots = said.get("cores") or said.get("nodes") or self._slots
        elif event == LogEvent.RUN_INFO:
            self._held.clear()
            counts = {rule: count for rule, count in said["stats"].items() if rule != "total"}
            self._run = Run(counts, self._slots)
            if self._terminal:
                threading.Thread(target=self._refresh, daemon=True).start()
        elif event == LogEvent.ERROR and said["exception"] == "RuleException":
            self._raised.append(said["msg"])
        elif event == LogEvent.ERROR:
            self._show(said["msg"])
        elif event == LogEvent.GROUP_ERROR:
            for failed in said["job_error_info"]:
                self._fail(failed, said["aux_logs"])
        elif event == LogEvent.JOB_ERROR:
            self._fail(said, [])
        elif self._run is not None and event == LogEvent.JOB_INFO:
            first = self._run.start(said["jobid"], said["rule_name"], said["wildcards"], said["log"], now)
            # A rule without output is a target. On a terminal, only logs that are worth following are named.
            if first and said["output"] and (not self._terminal or self._run.is_training(said["rule_name"])):
                self._show(self._run.stage_line(said["rule_name"], now))
        elif self._run is not None and event == LogEvent.JOB_FINISHED:
            self._run.finish(said["job_id"], now)
        self._draw()

    def _fail(self, failed: dict, other_logs: list[str]) -> None:
        if self._run is not None:
            self._run.fail(failed["jobid"])
            name = self._run.name_of(failed["jobid"], failed["rule_name"])
        else:
            name = failed["rule_name"]
        raised = self._raised.pop(0) if self._raised else None
        self._show(f"{name} failed{cause([*failed['log'], *other_logs], failed.get('rule_msg') or raised)}")

    def _refresh(self) -> None:
        while not self._stopped.wait(REFRESH):
            with self.lock:
                self._draw()

    def _draw(self) -> None:
        """Draw the moving line again."""
        if self._terminal and self._run is not None and not self._stopped.is_set():
            self._run.read_progress()
            line, width = fitted(self._run.line(time.monotonic()), shutil.get_terminal_size().columns - 1)
            self._stream.write("\r" + line + " " * (self._width - width))
            self._stream.flush()
            self._width = width

    def _clear(self) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _show(self, text: str) -> None:
        """Write lines that stay, above the moving one."""
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()
        self._draw()

    def close(self) -> None:
        """Remove the moving line; if no job ran, show what Snakemake said instead."""
        if not self._stopped.is_set():
            with self.lock:
                self._stopped.set()
                self._clear()
                for text in [*self._raised, *self._held]:
                    self._show(text)
        super().close()


def cause(logs: list[str], message: str | None) -> str:
    """Return what follows "failed": the error at the end of a log, else the end of that log, else ``message``."""
    for path in logs:
        if not Path(path).is_file():
            continue
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        if lines and lines[-1].startswith("error: "):
            return f": {lines[-1].removeprefix('error: ')}"
        if lines:
            return "\n".join([f"; the end of {path}:", *(f"    {line}" for line in lines[-TAIL:])])
    return f": {message or 'there is no log'}" + (f" ({', '.join(logs)})" if logs else "")
