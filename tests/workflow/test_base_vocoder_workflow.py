"""The base vocoder's rules on a few clips of the demo's speech, in directories as anyone's speech would be."""

import json
import shutil

import pytest
import soundfile

pytest.importorskip("vocaltractlab_cython", reason="needs the extra demo")
pytestmark = pytest.mark.slow


def test_a_base_is_trained_on_directories_of_speech_and_judged_by_other_voices(checkout):
    from rtmri_speech.demo.corpus import make_speech

    speech, held_out = checkout.directory / "話し声 speech", checkout.directory / "other voices"
    for directory, seed, count in ((speech, 7101, 2), (held_out, 7102, 1)):
        directory.mkdir()
        for clip in range(count):
            make_speech(clip, seed, directory / f"{clip}.wav")
    base = {"config": "config/hifigan_tiny.json", "speech": [speech.name], "held_out": [held_out.name], "steps": 4}
    checkout.configure(base_vocoder=base)
    checkout.make("score_base_vocoder")
    made = checkout.results / "base_vocoder"
    for part, directory in (("training", speech), ("validation", held_out)):
        seconds = sum(soundfile.info(path).duration for path in directory.iterdir())
        clips = [soundfile.info(path).duration for path in (made / "clips" / "audio").glob(f"{part}_*.wav")]
        assert sum(clips) == pytest.approx(seconds + 0.1 * len(list(directory.iterdir())), abs=0.01)
    scores = json.loads((made / "scores.json").read_text(encoding="utf-8"))
    assert scores["ids"] == ["validation_0000"]
    assert all(soundfile.info(path).samplerate == 11413 for path in (made / "clips" / "audio").glob("*.wav"))
    assert (made / "g_00000004").exists() and not checkout.pending("score_base_vocoder")
    checkout.configure(base_vocoder={**base, "steps": 6})
    checkout.make("score_base_vocoder")
    log = (checkout.results / "logs" / "train_base_vocoder.log").read_text(encoding="utf-8")
    assert (made / "g_00000006").exists() and "4 -> 6" in log, log
    start = checkout.directory / "earlier base"
    start.mkdir()
    for name in ("g_00000006", "do_00000006"):
        shutil.copy(made / name, start)
    checkout.configure(base_vocoder={**base, "steps": 2, "base": f"{start.name}/g_00000006"})
    checkout.make("score_base_vocoder")
    log = (checkout.results / "logs" / "train_base_vocoder.log").read_text(encoding="utf-8")
    assert (made / "g_00000008").exists() and "training begins with it, at step 6" in log, log
