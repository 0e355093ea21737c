"""The masking study on models with a known dependence on the picture."""

import csv

import numpy as np
import pytest

from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.explain.bands import Band
from rtmri_speech.explain.study import Effect, agreement, draw_study, masking_study, write_table
from rtmri_speech.synthesis.speech import Speech

LEFT = [[[0, 0], [120, 0], [120, 256], [0, 256]]]
RIGHT = [[[136, 0], [256, 0], [256, 256], [136, 256]]]
LOW, HIGH = Band("low", 0, 1500), Band("high", 1500, 5000)


class LeftMakesLow:
    """A stand-in model: true mel, except that the low band is attenuated like the left half of the picture."""

    def __init__(self, processed, id):
        self.mel, self.frame_size, self.speakers = load_mel_spec(processed), (32, 32), ()
        self._sample = open_sample(processed, id)

    def spoken_by(self, speaker):
        return self

    def speech(self, frames):
        frames = np.stack(list(frames)).astype(float)
        lost = 1 - frames[:, :, :14].mean((1, 2)) / self._sample.mri[:, :, :14].mean((1, 2))
        mel = self._sample.mel_db.copy()
        mel[:, self.mel.band(0, 1500)] += 30 * lost[:, None]
        audio = 0.1 * np.random.default_rng(0).standard_normal(len(mel) * self.mel.hop_length)
        return Speech(mel, None, {"g": audio.astype(np.float32)})


def test_only_the_dependent_band_is_affected_and_more_if_darker(tiny_processed, tmp_path):
    effects = masking_study(
        LeftMakesLow(tiny_processed, "a5"),
        Scaler.load(tiny_processed / "scaler.json"),
        tiny_processed,
        ["a5"],
        {"left": LEFT, "right": RIGHT},
        [0.5, 1.0],
        [LOW, HIGH],
        wav_dir=tmp_path / "wavs",
    )
    change = {(effect.mask, effect.alpha, effect.band): effect.change for effect in effects}
    assert len(change) == 8
    # The loss is linear in alpha, and the error its square.
    assert change["left", 1.0, "low"] == pytest.approx(4 * change["left", 0.5, "low"], rel=0.1)
    assert change["left", 0.5, "low"] > 0.01
    others = [value for (mask, _, band), value in change.items() if mask == "right" or band == "high"]
    assert np.allclose(others, 0, atol=1e-3 * change["left", 1.0, "low"])
    assert all(effect.error == 0 and effect.area == pytest.approx(120 / 256, abs=0.01) for effect in effects)
    # The same noise whatever the picture, and no maps to compare with.
    assert all(effect.speech_change == 0 and np.isnan(effect.gradcam_mass) for effect in effects)
    assert {path.name for path in (tmp_path / "wavs").iterdir()} == {
        "a5_unmasked.wav", "a5_left_0.5.wav", "a5_left_1.wav", "a5_right_0.5.wav", "a5_right_1.wav"
    }  # fmt: skip


def effect(mask, change, mass, area, alpha=1.0):
    return Effect(mask, alpha, "F1", 3, 0.2, 0.2 + change, change, float("nan"), mass, area)


def test_agreement_ranks_changes_against_mass_by_area():
    effects = [effect("a", 0.9, 0.3, 0.1), effect("b", 0.2, 0.2, 0.1), effect("c", 0.1, 0.4, 0.5)]
    weaker = [effect("a", 0.0, 0.3, 0.1, 0.5), effect("b", 0.9, 0.2, 0.1, 0.5)]
    assert agreement(effects + weaker, "F1") == pytest.approx(1)
    assert agreement([*effects[:2], effect("c", 0.5, 0.4, 0.5)], "F1") == pytest.approx(0.5)
    assert np.isnan(agreement(effects[:2], "F1"))


def test_table_and_figure_are_written(tmp_path):
    effects = [effect("a", 0.9, 0.3, 0.1), effect("b", 0.2, 0.2, 0.1), effect("b", 0.1, 0.2, 0.1, 0.5)]
    write_table(tmp_path / "m.csv", effects)
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert [row["mask"] for row in rows] == ["a", "b", "b"] and rows[0]["speech_change"] == ""
    assert float(rows[0]["change"]) == 0.9
    draw_study(tmp_path / "m.png", effects)
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"
