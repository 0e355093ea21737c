import errno
import os
import pickle
import subprocess
import sys
import time

import psutil
import pytest

from rtmri_speech.errors import JOB, UserError, user_error


def test_a_user_error_survives_pickling():
    error = pickle.loads(pickle.dumps(UserError("clip.wav", "is empty", "record it again")))
    assert isinstance(error, UserError)
    assert str(error) == "clip.wav: is empty; record it again."
    assert (error.subject, error.fault, error.remedy) == ("clip.wav", "is empty", "record it again")


def test_a_failing_disk_is_told_in_a_sentence():
    said = str(user_error(OSError(errno.EIO, os.strerror(errno.EIO), "a.npy")))
    assert said.startswith("a.npy: the disk failed (Input/output error); check the disk")
    assert user_error(OSError(errno.EINVAL, "odd")) is None


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1252", "結果"), ("ascii", "é"), ("latin-1", "→ ム"), ("cp932", "動画 é 한")]
)
def test_a_script_prints_what_the_output_cannot_encode(encoding, text):
    script = (
        "import rtmri_speech.errors as e\n"
        f"def main():\n    print({text!r})\n    raise e.UserError({text!r}, 'is empty', 'record it again')\n"
        "e.run_script(main)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    escaped = text.encode(encoding, "backslashreplace")
    assert run.returncode == 2, run.stderr
    assert (
        run.stdout.strip() == escaped and run.stderr.strip() == b"error: " + escaped + b": is empty; record it again."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
@pytest.mark.parametrize("by_snakemake", [True, False])
def test_a_job_exits_with_its_shell_but_a_manual_script_does_not(by_snakemake):
    script = "import time, rtmri_speech.errors as e; e.run_script(lambda: print(flush=True) or time.sleep(60))"
    environment = {name: value for name, value in os.environ.items() if name != JOB} | (
        {JOB: "1"} if by_snakemake else {}
    )
    shell = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} -c '{script}'; true"], stdout=subprocess.PIPE, env=environment
    )
    shell.stdout.readline()
    (job,) = psutil.Process(shell.pid).children()
    shell.kill()
    shell.wait()
    try:
        if by_snakemake:
            job.wait(60)
        else:
            time.sleep(0.5)
            assert job.is_running()
    finally:
        if job.is_running():
            job.kill()


def test_a_record_is_shown_once_where_a_library_configures_the_root_logger():
    code = "import logging; from rtmri_speech.log import show_log; show_log(); logging.basicConfig(level=logging.INFO)"
    code += "; logging.getLogger('rtmri_speech.scripts').info('written')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "written\n"
