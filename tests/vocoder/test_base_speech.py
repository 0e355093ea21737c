import numpy as np
import pytest
import soundfile

from rtmri_speech.errors import UserError
from rtmri_speech.vocoder.speech import prepare_speech

RATE = 8000


def write(directory, name, seconds, *, rate=RATE, level=0.1, pause=0.0):
    directory.mkdir(exist_ok=True)
    audio = level * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate)
    audio = np.concatenate([audio, np.zeros(round(pause * rate))])
    soundfile.write(directory / name, audio, rate)


def read(out, id):
    audio, rate = soundfile.read(out / f"{id}.wav")
    assert rate == RATE
    return audio


def test_short_files_are_joined_and_long_ones_stay_alone(tmp_path):
    for number in range(5):
        write(tmp_path / "short", f"{number}.wav", 3)
    write(tmp_path / "long", "only.flac", 12, rate=16000)
    ids = prepare_speech([tmp_path / "short", tmp_path / "long"], tmp_path / "out", RATE, "training")
    assert ids == ["training_0000", "training_0001", "training_0002"]
    # Four of three seconds make the first, each with its pause; the fifth is what is left.
    assert [round(len(read(tmp_path / "out", id)) / RATE, 1) for id in ids] == [12.4, 3.1, 12.1]


def test_all_clips_have_one_level_whatever_pauses_they_hold(tmp_path):
    write(tmp_path / "a", "quiet.wav", 10, level=0.01, pause=5)
    write(tmp_path / "b", "loud.wav", 10, level=0.9)
    levels = []
    for id in prepare_speech([tmp_path / "a", tmp_path / "b"], tmp_path / "out", RATE, "training"):
        audio = read(tmp_path / "out", id)[: 9 * RATE]
        levels.append(20 * np.log10(np.sqrt((audio**2).mean())))
    assert levels == pytest.approx([-20, -20], abs=0.1)


def test_what_cannot_be_speech_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere: is not a directory"):
        prepare_speech([tmp_path / "nowhere"], tmp_path / "out", RATE, "training")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no sound file"):
        prepare_speech([tmp_path / "empty"], tmp_path / "out", RATE, "training")
    write(tmp_path / "mute", "a.wav", 1, level=0)
    with pytest.raises(UserError, match=r"a\.wav: is silent"):
        prepare_speech([tmp_path / "mute"], tmp_path / "out", RATE, "training")
