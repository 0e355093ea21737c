"""Griffin-Lim: in step with the mel it is given, and a vocoder like any other, but for streams."""

import dataclasses
import json
import typing

import numpy as np
import pytest
import tiny_models

from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import lag_ms
from rtmri_speech.pack.export import make_pack
from rtmri_speech.pack.format import read_about
from rtmri_speech.pack.speak import load_live_pack, load_pack
from rtmri_speech.settings.use import Pack, Synthesis
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.synthesis.checkpoints import load_synthesiser
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.synthesiser import LiveSynthesiser
from rtmri_speech.vocoder.engine import export_onnx, load_vocoder
from rtmri_speech.vocoder.griffin_lim import GriffinLim, griffin_lim
from rtmri_speech.vocoder.untrained import UNTRAINED, write_untrained


def voice(seconds: float, rate: int) -> np.ndarray:
    """A harmonic tone with varying level and spectrum."""
    time = np.arange(round(seconds * rate)) / rate
    gain = 0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * time + np.sin(3 * time))
    tilt = 1.2 + 0.8 * np.sin(2 * np.pi * 1.7 * time)
    return 0.05 * gain * sum(np.sin(2 * np.pi * 120 * k * time) / k**tilt for k in range(1, 40))


@pytest.mark.parametrize("preset", ["hifigan", "lab"])
def test_griffin_lim_output_is_in_step_with_the_mel(preset):
    spec = MelSpec.preset(preset)
    signal = voice(3, spec.sampling_rate)
    mel = spec.mel(signal)
    spoken = griffin_lim(spec, mel, iterations=32)
    assert spoken.shape == (mel.shape[1] * spec.hop_length,)
    assert spoken.dtype == np.float32
    assert lag_ms(signal[: len(spoken)], spoken, spec.sampling_rate) == pytest.approx(0, abs=5)

    def distance(moved: int) -> float:
        """RMS difference in dB between the given and the resynthesised mel, shifted by ``moved`` frames."""
        again = spec.mel(np.roll(spoken, moved * spec.hop_length))
        asked = mel[:, : again.shape[1]]
        inner = (asked > asked.max() * 10 ** (-40 * spec.power / 20)) & (np.arange(asked.shape[1]) > 2)
        inner &= np.arange(asked.shape[1]) < asked.shape[1] - 3
        return float(np.sqrt(np.mean((spec.db(again) - spec.db(asked))[inner] ** 2)))

    assert distance(0) < 3.5
    assert distance(0) < min(distance(1), distance(-1)) - 0.5


def test_griffin_lim_is_deterministic():
    spec = MelSpec.preset("hifigan")
    mel = spec.mel(voice(1, spec.sampling_rate))
    np.testing.assert_array_equal(griffin_lim(spec, mel, 4, seed=1), griffin_lim(spec, mel, 4, seed=1))
    assert not np.array_equal(griffin_lim(spec, mel, 4, seed=1), griffin_lim(spec, mel, 4, seed=2))


def test_as_a_vocoder_it_makes_sound_of_the_same_mel():
    spec = MelSpec.preset("hifigan")
    mel = spec.mel(voice(1, spec.sampling_rate))
    vocoder = GriffinLim(spec)
    made = vocoder.synthesise(log_mel(mel))
    # A float32 logarithm rounds the mel, and phases that are found from it drift.
    again = log_mel(spec.mel(made)), log_mel(spec.mel(griffin_lim(spec, mel)))
    assert np.abs(again[0] - again[1]).mean() < 0.1
    assert np.abs(vocoder.synthesise(log_mel(mel * 100))).max() == 1
    with pytest.raises(UserError, match="axes are transposed"):
        vocoder.synthesise(log_mel(mel)[:, :5].T)


def test_its_file_stands_for_a_checkpoint(tmp_path):
    spec = MelSpec.preset("lab")
    write_untrained(tmp_path / "griffin_lim.json", "griffin-lim", spec)
    vocoder = load_vocoder(tmp_path / "griffin_lim.json")
    assert isinstance(vocoder, GriffinLim) and vocoder.spec == spec
    with pytest.raises(UserError, match="has no graph"):
        export_onnx(vocoder, tmp_path / "graph.onnx")


def test_each_name_of_the_setting_beside_hifigan_has_its_vocoder():
    names = typing.get_args(typing.get_type_hints(Synthesis)["vocoder"])
    assert set(names) == {"hifigan", *UNTRAINED}


@pytest.mark.parametrize("content", [{}, {"vocoder": "hifigan"}, {"vocoder": "griffin-lim", "mel": 3}, []])
def test_another_json_is_refused(tmp_path, content):
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"other\.json"):
        load_vocoder(tmp_path / "other.json")


def test_a_pack_without_a_vocoder_speaks_as_the_checkpoint_does(tmp_path):
    mri = tiny_models.write_acoustic(tmp_path / "mri_acoustic_model.pt")
    spec = load_acoustic_model(mri, "cpu").mel
    write_untrained(tmp_path / "griffin_lim.json", "griffin-lim", spec)
    pack = tmp_path / "model.pack"
    make_pack(pack, mri, tmp_path / "griffin_lim.json", Pack("MIT", "nobody", "none is needed"))
    about = read_about(pack)
    assert sorted(about.graphs) == ["cnn.onnx", "recurrence.onnx"] and about.untrained == "griffin-lim"
    with pytest.raises(UserError, match="untrained: is 'none'; give one of griffin-lim, world"):
        dataclasses.replace(about, untrained="none")
    frames = tiny_models.moving_bar(12)
    packed = load_pack(pack).speech(frames)
    by_torch = load_synthesiser(Models(str(mri), (str(tmp_path / "griffin_lim.json"),))).speech(frames)
    heard, expected = packed.audio["vocoder"], by_torch.audio["griffin_lim.json"]
    assert heard.shape == expected.shape == (12 * 420,) and np.abs(heard).max() > 0
    np.testing.assert_allclose(packed.mel_db, by_torch.mel_db, atol=1e-2)
    np.testing.assert_allclose(heard, expected, atol=0.05 * np.abs(expected).max())
    with pytest.raises(UserError, match="the vocoder: synthesises whole clips only"):
        load_live_pack(pack)
    with pytest.raises(UserError, match="the vocoder: synthesises whole clips only"):
        LiveSynthesiser(load_acoustic_model(mri, "cpu"), GriffinLim(spec))
