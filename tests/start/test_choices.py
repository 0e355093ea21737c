"""What a configuration follows from: mel and upsampling for any frame rate, split, offset, sizes."""

import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.sync import Offset, SyncAudit
from rtmri_speech.settings.acoustic import Loss
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.start import choices
from rtmri_speech.vocoder.config import read_config, write_config
from rtmri_speech.vocoder.generator import Generator

CONFIG = Path(__file__).parents[2] / "config"
REAL_RATES = [
    Fraction(1_000_000, 12_008),
    Fraction(99),
    Fraction(30000, 1001),
    Fraction(2318, 100),
    Fraction(20000, 736),
]
RATES = [*REAL_RATES, *(Fraction(quarter, 4) for quarter in range(60, 481))]


@pytest.mark.parametrize("name", ["hifigan_demo.json", "hifigan_v1_11413.json"])
def test_every_frame_rate_gets_a_mel_and_a_hifigan_of_it(name):
    template = read_config(CONFIG / name)
    for rate in RATES:
        spec = choices.mel_for(rate, 30.0)
        # Half a frame in 30 s.
        assert abs(spec.sampling_rate / spec.hop_length - float(rate)) * 30 <= 0.5, rate
        assert spec.n_fft >= 2 * spec.hop_length
        config = choices.vocoder_config(template, spec)
        assert config.spec == spec
        if config is template:
            continue
        rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
        assert math.prod(rates) == spec.hop_length and max(rates) <= 10, rate
        assert list(rates) == sorted(rates, reverse=True) and 3 <= len(rates) <= 5, rate
        # The padding of a transposed convolution is half of what the kernel exceeds its rate by.
        assert all(kernel >= rate and (kernel - rate) % 2 == 0 for kernel, rate in zip(kernels, rates, strict=True))


@pytest.mark.parametrize("rate", REAL_RATES)
def test_the_proposed_hifigan_makes_a_hop_of_samples_of_each_frame(rate, tmp_path):
    spec = choices.mel_for(rate, 30.0)
    template = dataclasses.replace(read_config(CONFIG / "hifigan_demo.json"), upsample_initial_channel=32)
    write_config(tmp_path / "config.json", choices.vocoder_config(template, spec))
    generator = Generator(read_config(tmp_path / "config.json"))
    with torch.no_grad():
        assert generator(torch.zeros(1, spec.n_mels, 7)).shape == (1, 1, 7 * spec.hop_length)


def test_the_default_mel_is_kept_where_it_has_the_frame_rate():
    spec = choices.mel_for(Fraction(20000, 736), 30.0)
    assert (spec.sampling_rate, spec.hop_length, spec.n_mels) == (11413, 420, 64)
    template = read_config(CONFIG / "hifigan_v1_11413.json")
    assert choices.vocoder_config(template, spec) is template
    # An hour would drift by more than half a frame.
    assert choices.mel_for(Fraction(27174, 1000), 3600.0).hop_length != 420


def test_a_hop_with_a_large_prime_factor_is_refused():
    with pytest.raises(UserError, match="hop_length 137"):
        choices.upsampling(137)


def test_bands_of_the_loss_stay_at_their_frequencies():
    bands = Loss().bands
    default = librosa.mel_frequencies(66, fmin=0, fmax=5706.5)[1:-1]
    spec = choices.mel_for(Fraction(99), 30.0)
    own = librosa.mel_frequencies(spec.n_mels + 2, fmin=0, fmax=spec.fmax)[1:-1]
    for name, (first, weight) in choices.loss_bands(bands, spec).items():
        wanted = 0.0 if bands[name][0] == 0 else default[bands[name][0]]
        step = np.diff(own)[min(first, len(own) - 2)]
        assert abs(own[first] - wanted) <= step and weight == bands[name][1]
    assert choices.loss_bands(bands, MelSpec.preset("hifigan")) == {name: list(pair) for name, pair in bands.items()}


def test_the_common_rate_is_that_of_most_of_the_material():
    near = [Fraction(83278, 1000), Fraction(1_000_000, 12_008)]
    assert choices.common_rate([(Fraction(25), 50.0), (near[0], 30.0), (near[1], 31.0)]) == near[1]


def test_long_recordings_are_cut_and_all_of_a_few():
    assert choices.needs_cutting({"a": 24.0, "b": 5.0}) == {"a", "b"}
    many = {f"{number:02d}": 5.0 for number in range(20)}
    assert choices.needs_cutting(many | {"long": 60.0}) == {"long"}
    assert choices.cutting_of(24.0, "silence").longest == choices.SHORTEST_UTTERANCE_S
    assert choices.cutting_of(3600.0, "tier").longest == 10.0


def utterances(count, seconds=2.0, **fields):
    return {
        f"r_{number:02d}": Clip(
            f"r_{number:02d}", Path("r.mp4"), start=number * seconds, end=(number + 1) * seconds, **fields
        )
        for number in range(count)
    }


def test_the_split_of_one_recording_fills_every_part_with_a_gap():
    clips = utterances(12)
    _, divided = choices.split_for(clips)
    assert all(divided.splits.values()) and divided.by == "recording"
    end = max(clips[id].end for id in divided.splits["training"])
    assert min(clips[id].start for id in divided.splits["validation"]) >= end + 1


def test_repeated_sentences_are_never_on_both_sides():
    clips = {
        f"{speaker}{number}": Clip(f"{speaker}{number}", Path(f"{speaker}{number}.mp4"), text=f"sentence {number}")
        for speaker in "abc"
        for number in range(6)
    }
    settings, divided = choices.split_for(clips)
    said = {part: {clips[id].text for id in ids} for part, ids in divided.splits.items()}
    assert settings.by == "text" and not said["test"] & (said["training"] | said["validation"])
    assert all(said.values())


def test_a_hash_that_leaves_a_part_empty_is_not_proposed():
    for count in range(20, 60):
        clips = {f"{number:03d}": Clip(f"{number:03d}", Path(f"{number}.mp4")) for number in range(count)}
        assert all(choices.split_for(clips)[1].splits.values())


def test_too_few_clips_are_refused():
    with pytest.raises(UserError):
        choices.split_for({"a": Clip("a", Path("a.mp4")), "b": Clip("b", Path("b.mp4"))})


def audit(*offsets, correlation=0.5, frame_ms=12.0):
    found = {str(number): Offset(offset, correlation, False) for number, offset in enumerate(offsets)}
    return SyncAudit(float(np.nanmedian(offsets)), frame_ms, found)


@pytest.mark.parametrize(
    ("found", "agree", "clear"),
    [
        (audit(78, 80, 84, 90), True, True),
        (audit(-95, -90, -92), True, True),
        # The articulators' lead.
        (audit(26, 32, 33, 38), True, False),
        (audit(78, 80, 200, -150), False, False),
        (audit(80, 84, 82, math.nan, math.nan), False, False),
        # Less than one and a half frames.
        (audit(80, 84, 82, frame_ms=66.0), True, False),
    ],
)
def test_an_offset_is_clear_where_stretches_agree_on_more_than_the_lead(found, agree, clear):
    offset = choices.offset_of(found)
    assert (offset.agree, offset.clear) == (agree, clear)


def test_too_few_or_uncorrelated_stretches_say_nothing():
    assert choices.offset_of(audit(90, 91)) is None
    assert choices.offset_of(audit(90, 91, 92, 90, correlation=0.1)) is None


def test_a_hifigan_is_trained_only_at_full_size_with_enough_speech():
    assert choices.speaks_by("full", 40.0) == "hifigan"
    assert choices.speaks_by("full", 2.0) == "griffin-lim"
    assert choices.speaks_by("small", 40.0) == "world"


def test_the_small_size_has_no_fewer_steps_for_seconds_and_a_limit_for_hours():
    steps = 3 * math.ceil(1500 / 16)
    assert choices.epochs_of(3, 16, 1500) == {"epochs": 3}
    short = choices.epochs_of(3, 16, 300)
    assert short.keys() == {"epochs"} and abs(short["epochs"] * math.ceil(300 / 16) - steps) < 20
    assert choices.epochs_of(3, 16, 300_000) == {"epochs": 3}
    long = choices.epochs_of(3, 16, 3_000_000)
    assert long["epochs"] == 3 and long["max_train_steps"] * 3 <= choices.MOST_STEPS


def test_a_window_is_as_long_at_any_rate_and_never_shorter_than_the_labs():
    assert choices.window_of(32, Fraction("83.278")) == 32
    assert choices.window_of(32, Fraction("23.18")) == 9
    assert choices.window_of(32, Fraction(99)) == 38
    assert choices.window_of(4, Fraction(25)) == 4
