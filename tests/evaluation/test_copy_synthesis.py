"""Copy synthesis of a vocoder is compared with Griffin-Lim: a worse one is reported, with a remedy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from rtmri_speech.evaluation.copy_synthesis import judged_clips, score_copy_synthesis, table, verdict
from rtmri_speech.evaluation.metrics import estoi
from rtmri_speech.signal.audio import read_audio, write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.griffin_lim import griffin_lim

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "score_copy_synthesis.py"
SPEC = MelSpec.preset("hifigan")


class Speaker:
    """A stand-in vocoder that returns given recordings in order."""

    spec, needs_f0 = SPEC, False

    def __init__(self, sounds):
        self.sounds = iter(sounds)

    def synthesise(self, log_mel, f0=None):
        return next(self.sounds)


@pytest.fixture(scope="module")
def wavs(tmp_path_factory):
    """Two recordings of a gliding voice in bursts."""
    directory = tmp_path_factory.mktemp("wavs")
    time = np.arange(2 * SPEC.sampling_rate) / SPEC.sampling_rate
    for seed in (1, 2):
        phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(seed * 3 * time)) / SPEC.sampling_rate
        tilt = 1 + 0.5 * np.sin(2 * np.pi * 1.3 * seed * time)
        voice = sum(np.sin(k * phase) / k**tilt for k in range(1, 25)) * (0.6 + 0.4 * np.sin(17 * time))
        noise = 1e-4 * np.random.default_rng(seed).standard_normal(len(time))
        write_wav(directory / f"{seed}.wav", 0.1 * voice + noise, SPEC.sampling_rate)
    return [directory / "1.wav", directory / "2.wav"]


def recordings(wavs):
    return [read_audio(wav, sampling_rate=SPEC.sampling_rate) for wav in wavs]


def test_a_vocoder_below_griffin_lim_is_reported_with_a_remedy(wavs):
    pytest.importorskip("pystoi")
    hiss = [0.1 * np.random.default_rng(0).standard_normal(2 * SPEC.sampling_rate)] * 2
    scores = score_copy_synthesis(Speaker(hiss), wavs)
    sentence = verdict(scores, "g_00000001")
    copies = [(a, griffin_lim(SPEC, SPEC.mel(a))) for a in recordings(wavs)]
    theirs = [estoi(a[: len(b)], b, SPEC.sampling_rate) for a, b in copies]
    assert f"Griffin-Lim, 32 iterations {np.mean(theirs):.3f}" in sentence
    assert "g_00000001 does harm: copy synthesis of 2 validation clips" in sentence
    assert "vocoder.steps" in sentence
    assert table(scores).splitlines()[0] == "| metric | copy synthesis | Griffin-Lim, 32 iterations | clips better |"


def test_a_vocoder_above_griffin_lim_is_not_reported(wavs):
    pytest.importorskip("pystoi")
    assert verdict(score_copy_synthesis(Speaker(recordings(wavs)), wavs), "g_00000001") is None
    # Where nothing can be measured, nothing is said.
    nothing = {"estoi": [float("nan")]}
    assert verdict({"vocoder": nothing, "griffin_lim": nothing}, "g_00000001") is None
    last_bits = {"vocoder": {"estoi": [0.43, 0.52]}, "griffin_lim": {"estoi": [0.43, 0.52 + 1e-6]}}
    assert verdict(last_bits, "griffin_lim.json") is None


def test_a_subset_is_scored_if_there_are_many_clips():
    assert judged_clips(["a", "b"]) == ["a", "b"]
    many = judged_clips([str(number) for number in range(48)])
    assert many == [str(number) for number in range(0, 48, 2)]


def test_the_command_writes_scores_table_and_verdict(wavs, tmp_path):
    pytest.importorskip("pystoi")
    checkpoint = tiny_models.write_vocoder(tmp_path / "g_00000001")
    (tmp_path / "clips.txt").write_text("1\n2\n")
    words = ["--checkpoint_file", checkpoint, "--input_wavs_dir", wavs[0].parent, "--f0_range", "75", "200"]
    words += ["--input_file", tmp_path / "clips.txt", "--output", tmp_path / "judged.json"]
    run = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    judged = json.loads((tmp_path / "judged.json").read_text())
    assert judged["ids"] == ["1", "2"]
    assert judged["verdict"] in run.stdout
    assert (tmp_path / "judged.md").read_text() in run.stdout
