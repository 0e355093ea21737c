import errno
import json
import threading

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rtmri_speech.training.logging import Progress, TrainingLog, stacked_picture


def scalars(directory):
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def write(directory, steps, resumed_step, value=1.0):
    with TrainingLog(directory, resumed_step) as log:
        for step in steps:
            log.scalars({"loss/train": value * step, "lr": 0.5}, step)
            log.pictures("mel/a", [np.random.default_rng(step).random((8, 5))], step)


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    write(tmp_path / "whole", range(1, 7), None)
    write(tmp_path / "cut", range(1, 5), None)
    write(tmp_path / "cut", range(3, 7), resumed_step=2)
    assert scalars(tmp_path / "cut") == scalars(tmp_path / "whole")


def test_a_log_that_cannot_be_opened_leaves_the_errors_of_threads_as_they_were(monkeypatch, tmp_path):
    def full(directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", full)
    before = threading.excepthook
    with pytest.raises(OSError) as error:
        TrainingLog(tmp_path / "log", None)
    assert error.value.filename == str(tmp_path / "log")
    assert threading.excepthook is before


def test_an_incomplete_last_record_is_removed(tmp_path):
    write(tmp_path / "log", range(1, 5), None)
    (events,) = (tmp_path / "log").iterdir()
    events.write_bytes(events.read_bytes()[:-7])
    write(tmp_path / "log", range(4, 6), resumed_step=3)
    assert scalars(tmp_path / "log")["loss/train"] == [(step, float(step)) for step in range(1, 6)]


def test_a_new_training_moves_the_old_log_aside(tmp_path):
    write(tmp_path / "log", range(1, 4), None, value=7.0)
    write(tmp_path / "log", range(1, 3), None)
    assert scalars(tmp_path / "log")["loss/train"] == [(1, 1.0), (2, 2.0)]
    assert scalars(tmp_path / "log.superseded")["loss/train"][-1] == (3, 21.0)


def test_mels_are_drawn_with_low_frequencies_at_the_bottom():
    mel = np.zeros((4, 2))
    mel[0] = 1
    picture = stacked_picture([mel, np.zeros((4, 2))]).astype(int).sum(axis=-1)
    assert picture.shape == (3 * 4 + 6 + 3 * 4, 6)
    assert (picture[9:12] > picture[0]).all()
    assert (picture[18:] == picture[0]).all()


@pytest.fixture
def no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)


def test_a_log_file_gets_plain_lines(no_terminal, caplog, tmp_path):
    caplog.set_level("INFO")
    with Progress(3, 0, "acoustic", tmp_path / "progress.json") as progress:
        for _ in range(3):
            progress.advance({"loss": 0.25})
    (line,) = caplog.messages
    assert line.startswith("acoustic 3/3: loss 0.25")


def test_the_progress_file_is_written_once_an_interval_and_removed_at_the_end(no_terminal, monkeypatch, tmp_path):
    now = 100.0
    monkeypatch.setattr("rtmri_speech.training.logging.time.monotonic", lambda: now)
    file = tmp_path / "state" / "progress.json"
    with Progress(20, 10, "acoustic", file) as progress:
        now += 0.5
        progress.advance({"loss": 0.5})
        written = json.loads(file.read_text())
        assert written == {
            "step": 11,
            "steps": 20,
            "steps_per_second": 2.0,
            "seconds_left": 4.5,
            "losses": {"loss": 0.5},
        }
        now += 0.5
        progress.advance({"loss": 0.4})
        assert json.loads(file.read_text()) == written
        now += 0.5
        progress.advance({"loss": 0.3})
        assert json.loads(file.read_text())["step"] == 13
    assert list(file.parent.iterdir()) == []


def test_a_full_disk_stops_no_training_at_its_progress_file(no_terminal, monkeypatch, tmp_path):
    def full(path, **_):
        raise OSError(errno.ENOSPC, "", str(path))

    monkeypatch.setattr("rtmri_speech.training.logging.replacing", full)
    with Progress(2, 0, "acoustic", tmp_path / "progress.json") as progress:
        progress.advance({"loss": 0.5})
