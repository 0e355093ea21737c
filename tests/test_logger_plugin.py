"""The line of progress and the sentences of the logger plugin, and what it leaves to Snakemake's log file."""

import io
import json
import logging
import os
import types

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_rtmri as plugin
from snakemake_logger_plugin_rtmri.run import Known, Run, described, duration, fitted

PROGRESS = {"step": 250, "steps": 1000, "steps_per_second": 2.5, "seconds_left": 300.0, "losses": {"loss": 0.41234}}


def run_of(counts, slots=1, **known):
    return Run(counts, slots, Known(**known))


def write_progress(path, **changed):
    """Write a training's progress, with another date than before."""
    path.write_text(json.dumps(PROGRESS | changed))
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + write_progress.count))
    write_progress.count += 10**9


write_progress.count = 10**9


def test_the_line_names_share_time_left_and_stage():
    run = run_of({"prepare": 4}, titles={"prepare": "Prepare a clip"})
    assert run.line(0) == "[  0 %] Starting"
    assert run.start(1, "prepare", {"id": "a"}, [], 10.0)
    assert not run.start(2, "prepare", {"id": "b"}, [], 10.0)
    run.finish(1, 16.0)
    # One of four in six seconds.
    assert run.line(16.0) == "[ 25 %, 18 s left] Prepare a clip, 1 of 4"


def test_time_left_is_a_lower_bound_while_a_rule_is_not_measured():
    run = run_of({"prepare": 2, "train": 1})
    run.start(1, "prepare", {}, [], 0.0)
    run.finish(1, 5.0)
    assert run.seconds_left(5.0) == (5.0, False)
    assert "> 5 s left" in run.line(5.0)


def test_durations_of_an_earlier_run_are_used_before_a_rule_runs():
    run = run_of({"prepare": 6, "score": 1}, slots=2, seconds={"prepare": 10.0, "score": 30.0})
    assert run.seconds_left(0.0) == (60.0, True)
    run.start(1, "score", {}, [], 0.0)
    assert run.seconds_left(12.0) == (48.0, True)
    run.finish(1, 30.0)
    assert run.share() == pytest.approx(30 / 90)


def test_a_training_counts_by_its_own_progress(tmp_path):
    file = tmp_path / "progress.json"
    run = run_of({"prepare": 2, "train": 1, "score": 2}, titles={"train": "Train"}, progress={"train": str(file)})
    write_progress(file, step=999)
    for job in (1, 2):
        run.start(job, "prepare", {}, [], 0.0)
        run.finish(job, 1.0)
    run.start(3, "train", {}, ["train.log"], 1.0)
    # What an earlier training left does not count.
    run.read_progress()
    before = run.share()
    assert run.line(2.0) == f"[{int(100 * before):3d} %] Train"
    write_progress(file)
    run.read_progress()
    assert run.line(2.0).endswith("> 5 min left] Train: 2.5 steps/s, loss 0.4123, 5 min left")
    # A training is assumed to take twice as long as all the other jobs.
    assert run.share() == pytest.approx((2 + 0.25 * 8) / 12)
    # The file goes before the job ends.
    file.unlink()
    run.read_progress()
    assert run.share() > before
    run.finish(3, 9.0)
    assert run.share() == pytest.approx(10 / 12)


def test_a_training_is_shown_before_jobs_that_run_beside_it(tmp_path):
    run = run_of({"train": 1, "score": 1}, progress={"train": str(tmp_path / "none.json")})
    run.start(1, "train", {}, ["results/logs/train.log"], 0.0)
    run.start(2, "score", {}, [], 0.0)
    assert run.line(0.0).endswith("] train")
    assert run.stage_line("train", 0.0).endswith("] train (log: results/logs/train.log)")


def test_a_slow_training_gives_seconds_per_step_and_infinite_losses_are_left_out():
    shown = described(PROGRESS | {"steps_per_second": 0.25, "losses": {"loss": 1.0, "best": float("inf")}})
    assert shown == "4 s/step, loss 1, 5 min left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (99, "99 s"), (100, "2 min"), (5000, "84 min"), (7300, "2 h 2 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_line_is_cut_to_the_terminal_with_east_asian_characters_of_two_columns():
    assert fitted("ab結果c", 5) == ("ab結", 4)
    assert fitted("ab結果c", 7) == ("ab結果c", 7)


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def output(monkeypatch):
    """Start a handler on a stream; return the stream and the function that logs a record."""
    handlers = []

    def start(terminal=False, full=False, **common):
        stream = Stream(terminal)
        monkeypatch.setattr("sys.stderr", stream)
        names = ("dryrun", "verbose", "printshellcmds", "debug_dag")
        settings = types.SimpleNamespace(**dict.fromkeys(names, False) | common)
        handler = plugin.LogHandler(settings, plugin.LogHandlerSettings(full=full))
        handlers.append(handler)

        def log(message=None, level=logging.INFO, name="snakemake.logging", **extra):
            record = logging.makeLogRecord({"msg": message, "levelno": level, "name": name, **extra})
            handler.handle(record)

        return stream, log, handler

    yield start
    for handler in handlers:
        handler.close()


def job(jobid, rule, **changed):
    info = {"event": LogEvent.JOB_INFO, "jobid": jobid, "rule_name": rule, "wildcards": {"id": "a"}, "log": []}
    return info | {"output": ["x"]} | changed


def test_without_a_terminal_each_rule_is_one_plain_line(output):
    stream, log, handler = output()
    log("Building DAG of jobs...")
    log("Job stats: ...", event=LogEvent.RUN_INFO, stats={"prepare": 2, "score": 1, "total": 3})
    for jobid, rule in ((1, "prepare"), (2, "prepare"), (3, "score")):
        log(**job(jobid, rule))
        log("Shell command: ...", event=LogEvent.SHELLCMD)
        log("Select jobs to execute...")
        log(event=LogEvent.JOB_FINISHED, job_id=jobid)
    log(**job(4, "all", output=[]))
    log("Page: index.html", name=f"snakemake.logging.{plugin.WORKFLOW}")
    handler.close()
    lines = stream.getvalue().splitlines()
    assert [line.split("] ")[-1] for line in lines] == ["prepare, 2 jobs", "score", "Page: index.html"]
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_on_a_terminal_one_line_moves_and_leaves_nothing(output, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream, log, handler = output(terminal=True)
    log(event=LogEvent.RUN_INFO, stats={"prepare": 2, "total": 2})
    log(**job(1, "prepare"))
    log(event=LogEvent.JOB_FINISHED, job_id=1)
    assert stream.getvalue().count("\n") == 0
    log("Page: index.html", name=f"snakemake.logging.{plugin.WORKFLOW}")
    handler.close()
    drawn = stream.getvalue().split("\r")
    assert max(map(len, drawn)) < 30
    assert [text.rstrip() for text in stream.getvalue().splitlines() if text.strip() and "[" not in text] == [
        "Page: index.html"
    ]
    assert not drawn[-1].strip() and "\x1b" not in stream.getvalue()


def test_a_failed_job_is_one_sentence(output, tmp_path):
    stream, log, _ = output()
    (tmp_path / "a.log").write_text("reading\nerror: a.mp4: holds no video; give a video.\n", encoding="utf-8")
    log(event=LogEvent.RUN_INFO, stats={"prepare": 1, "total": 1})
    log(**job(1, "prepare"))
    log("RuleException: exit status 2", logging.ERROR, event=LogEvent.ERROR, exception="RuleException")
    failed = {"jobid": 1, "rule_name": "prepare", "log": [str(tmp_path / "a.log")], "rule_msg": None}
    log("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, **failed)
    assert stream.getvalue().splitlines()[1:] == ["prepare a failed: a.mp4: holds no video; give a video."]


def test_an_unforeseen_failure_shows_the_end_of_its_log(output, tmp_path):
    stream, log, _ = output()
    path = tmp_path / "a.log"
    path.write_text("\n".join(f"line {number}" for number in range(50)))
    failed = {"jobid": 1, "rule_name": "prepare", "log": [str(path)], "rule_msg": None}
    log("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, **failed)
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"prepare failed; the end of {path}:"
    assert lines[1:] == [f"    line {number}" for number in range(40, 50)]


def test_without_a_log_the_exception_is_shown(output, tmp_path):
    stream, log, _ = output()
    log("RuleException: exit status 1", logging.ERROR, event=LogEvent.ERROR, exception="RuleException")
    failed = {"jobid": 1, "rule_name": "prepare", "log": ["none.log"], "rule_msg": None}
    log("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, **failed)
    assert stream.getvalue() == "prepare failed: RuleException: exit status 1 (none.log)\n"


def test_what_snakemake_says_is_shown_if_nothing_runs(output):
    stream, log, handler = output()
    log("Nothing to be done.")
    handler.close()
    assert stream.getvalue() == "Nothing to be done.\n"


def test_warnings_and_errors_are_shown(output):
    stream, log, handler = output()
    log("Building DAG of jobs...")
    log("MissingInputException", logging.ERROR, event=LogEvent.ERROR, exception="MissingInputException")
    log("a warning", logging.WARNING)
    handler.close()
    assert stream.getvalue().splitlines() == ["MissingInputException", "a warning"]


@pytest.mark.parametrize("option", ["dryrun", "verbose", "printshellcmds", "debug_dag", "full"])
def test_other_output_is_left_to_snakemake(output, option):
    stream, log, handler = output(**{option: True})
    log("Building DAG of jobs...")
    log(event=LogEvent.RUN_INFO, stats={"prepare": 1, "total": 1})
    handler.close()
    assert not handler.writes_to_stream and not stream.getvalue()
