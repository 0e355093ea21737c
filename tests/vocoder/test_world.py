"""WORLD as a vocoder: the F0 it is given, the level and the envelope of the mel, in step with it."""

import dataclasses

import numpy as np
import pytest
import tiny_models

from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import lag_ms
from rtmri_speech.pack.export import make_pack
from rtmri_speech.pack.format import read_about
from rtmri_speech.pack.speak import load_live_pack, load_pack
from rtmri_speech.settings.use import Pack
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.signal.voice import harvest_f0
from rtmri_speech.synthesis.checkpoints import load_synthesiser
from rtmri_speech.synthesis.models import Models
from rtmri_speech.vocoder.untrained import write_untrained
from rtmri_speech.vocoder.world import World, envelopes, world

LAB = MelSpec.preset("lab")
SPECS = [MelSpec.preset("hifigan"), LAB, MelSpec(sampling_rate=20000, hop_length=863, n_mels=80)]


@pytest.mark.parametrize("spec", SPECS, ids=["hifigan", "lab", "23 frames a second"])
def test_noise_keeps_level_and_spectrum(spec):
    """White noise that is louder in its second half, and coloured by a filter of one pole."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 4 * spec.sampling_rate) * np.repeat([1, 3], 2 * spec.sampling_rate)
    for sample in range(1, len(noise)):
        noise[sample] += 0.7 * noise[sample - 1]
    mel = spec.mel(noise)
    made = world(spec, log_mel(mel), np.zeros(mel.shape[1]))
    assert made.shape == (mel.shape[1] * spec.hop_length,) and made.dtype == np.float32
    again = spec.mel(made)
    frames = min(mel.shape[1], again.shape[1])
    difference = (spec.db(again[:, :frames]) - spec.db(mel[:, :frames])).mean(1)
    # A mean of magnitudes is 1 dB below their root mean square, a mean of logarithms lower still.
    assert np.abs(difference).mean() < 2
    half = len(made) // 2
    ratio = made[half + 2 * spec.n_fft :].std() / made[: half - 2 * spec.n_fft].std()
    assert ratio == pytest.approx(3, rel=0.15)


def test_the_envelope_of_white_noise_is_its_variance():
    """Against the closed form of the power of a windowed white noise, for powers; with and without pre-emphasis."""
    hertz = np.linspace(0, 5000, 101)
    for coefficient in (0.0, 0.97):
        spec = MelSpec(power=2, preemphasis=coefficient, n_mels=40)
        bins = np.arange(spec.n_fft // 2 + 1) * spec.sampling_rate / spec.n_fft
        window = np.hanning(spec.win_length + 1)[:-1]
        emphasis = np.abs(1 - coefficient * np.exp(-2j * np.pi * bins / spec.sampling_rate)) ** 2
        mel = spec.filterbank() @ (0.25 * np.sum(window**2) * emphasis)
        found = envelopes(spec, np.log(mel)[:, None], hertz)
        assert found.shape == (1, 101)
        np.testing.assert_allclose(found[0, 10:], 0.25, rtol=0.05)


@pytest.mark.parametrize("spec", SPECS, ids=["hifigan", "lab", "23 frames a second"])
def test_it_has_the_f0_and_voicing_that_it_is_given_in_step(spec):
    frames = round(3 * float(spec.frame_rate))
    time = (np.arange(frames) + 0.5) / float(spec.frame_rate)
    f0 = np.where((time > 0.8) & (time < 2.2), 150 * 2 ** (0.4 * np.sin(4 * time)), 0)
    level = np.where(f0 > 0, np.log(0.5), np.log(0.05))
    made = world(spec, np.tile(level, (spec.n_mels, 1)) * spec.power, f0)
    if spec.alignment == "start":
        # Its frames are described by what follows their start, and are heard half a transform later.
        moved = (spec.n_fft - spec.hop_length) // 2
        made = np.concatenate([made[moved:], np.zeros(moved)])
    found = harvest_f0(made, spec.sampling_rate, spec.hop_length, (80, 400))[0]
    inner = np.minimum(np.abs(time - 0.8), np.abs(time - 2.2)) > 0.1
    assert np.mean((found > 0)[inner] == (f0 > 0)[inner]) > 0.95
    both = inner & (found > 0) & (f0 > 0)
    np.testing.assert_allclose(found[both], f0[both], rtol=0.04)


def test_it_is_as_long_and_in_step_for_a_voice():
    spec = MelSpec.preset("hifigan")
    time = np.arange(3 * spec.sampling_rate) / spec.sampling_rate
    voice = (
        0.05
        * (0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * time))
        * sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 40))
    )
    mel = spec.mel(voice)
    made = world(spec, log_mel(mel), np.full(mel.shape[1], 120.0))
    assert lag_ms(voice[: len(made)], made, spec.sampling_rate) == pytest.approx(0, abs=5)
    np.testing.assert_array_equal(made, world(spec, log_mel(mel), np.full(mel.shape[1], 120.0)))


def test_without_f0_or_with_another_length_it_is_refused():
    vocoder = World(LAB)
    mel = np.zeros((LAB.n_mels, 4), np.float32)
    with pytest.raises(UserError, match="world: needs F0, which this mel generator does not predict; train one with"):
        vocoder.synthesise(mel)
    with pytest.raises(UserError, match="F0: has 3 frames where the mel has 4"):
        vocoder.synthesise(mel, np.zeros(3))
    assert vocoder.synthesise(mel[:, :0], np.zeros(0)).shape == (0,)
    assert np.abs(vocoder.synthesise(mel + 20, np.zeros(4))).max() == 1


def test_a_pack_speaks_by_it_as_the_checkpoints_do_and_without_f0_none_is_made(tmp_path):
    spec = tiny_models.SPEC
    mri = tiny_models.write_acoustic(tmp_path / "mri.pt", pitch=True)
    write_untrained(tmp_path / "world.json", "world", spec)
    pack = tmp_path / "model.pack"
    make_pack(pack, mri, tmp_path / "world.json", Pack("MIT", "nobody", "none is needed"), context="window")
    about = read_about(pack)
    assert about.pitch and about.untrained == "world"
    with pytest.raises(UserError, match="untrained: is 'world', and the pack predicts no F0"):
        dataclasses.replace(about, pitch=False)
    frames = tiny_models.moving_bar(30)
    packed = load_pack(pack).speech(frames)
    by_torch = load_synthesiser(Models(str(mri), (str(tmp_path / "world.json"),), context="window")).speech(frames)
    np.testing.assert_allclose(packed.mel_db, by_torch.mel_db, atol=1e-2)
    np.testing.assert_allclose(packed.f0, by_torch.f0, rtol=1e-4)
    assert (packed.f0 > 0).any()
    heard, expected = packed.audio["vocoder"], by_torch.audio["world.json"]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(heard, expected, atol=0.01 * np.abs(expected).max())
    with pytest.raises(UserError, match="the vocoder: synthesises whole clips only"):
        load_live_pack(pack)
    plain = tiny_models.write_acoustic(tmp_path / "plain.pt")
    with pytest.raises(UserError, match="untrained: is 'world', and the pack predicts no F0"):
        make_pack(tmp_path / "none.pack", plain, tmp_path / "world.json", Pack("MIT", "nobody", "none"))
    assert not (tmp_path / "none.pack").exists()
    with pytest.raises(UserError, match="needs F0"):
        load_synthesiser(Models(str(plain), (str(tmp_path / "world.json"),))).speech(frames)
    assert load_acoustic_model(mri, "cpu").mel == spec
