"""Synthesis: consistent results of all interfaces, the stated delay, and invalid input."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import tiny_models

from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
from rtmri_speech.errors import UserError
from rtmri_speech.synthesis.checkpoints import load_synthesiser
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.synthesiser import LiveSynthesiser
from rtmri_speech.vocoder.engine import load_vocoder


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return Models(
        str(tiny_models.write_acoustic(folder / "mri_acoustic_model.pt")),
        (str(tiny_models.write_vocoder(folder / "vocoder" / "g_00000001")),),
    )


@pytest.mark.parametrize("context", ["sequence", "window", "causal"])
def test_speech_is_the_mel_through_the_vocoder(models, context):
    frames = tiny_models.moving_bar(23)
    speech = load_synthesiser(dataclasses.replace(models, context=context)).speech(frames)
    acoustic = load_acoustic_model(models.mri_checkpoint, "cpu")
    mel_db = predict_db(acoustic, frames, context)
    log_mel = np.maximum(mel_db * math.log(10) / 20, math.log(1e-5)).T.astype(np.float32)
    audio = load_vocoder(models.hifigan_checkpoints[0]).synthesise(log_mel)
    np.testing.assert_allclose(speech.mel_db, mel_db, atol=1e-3)
    np.testing.assert_allclose(speech.audio["g_00000001"], audio, atol=1e-5)
    assert speech.audio["g_00000001"].shape == (23 * 420,)


def live(models, block_frames=2, padding="official", folder=None):
    checkpoint = models.hifigan_checkpoints[0]
    if padding == "lab":
        checkpoint = tiny_models.write_vocoder(folder / "g_00000002", padding="lab")
    vocoder = load_vocoder(checkpoint, block_frames=block_frames)
    return LiveSynthesiser(load_acoustic_model(models.mri_checkpoint, "cpu"), vocoder), vocoder


def test_a_live_stream_equals_the_whole_clip_in_causal_context(models):
    frames = tiny_models.moving_bar(21)
    stream, _ = live(models)
    whole = load_synthesiser(dataclasses.replace(models, context="causal")).speech(frames)
    heard = np.concatenate(list(stream.stream(frames)))
    np.testing.assert_allclose(heard, whole.audio["g_00000001"], atol=1e-5)


def between(models, folder, neighbours):
    """The models with a CNN that sees neighbours of each frame."""
    checkpoint = tiny_models.write_acoustic(folder / "between.pt", neighbours=neighbours)
    return dataclasses.replace(models, mri_checkpoint=str(checkpoint))


def test_a_live_stream_between_neighbours_equals_the_whole_clip(models, tmp_path):
    models = between(models, tmp_path, 2)
    for count in (1, 3, 21):
        frames = tiny_models.moving_bar(count)
        stream, _ = live(models)
        whole = load_synthesiser(dataclasses.replace(models, context="causal")).speech(frames)
        heard = np.concatenate(list(stream.stream(frames)))
        np.testing.assert_allclose(heard, whole.audio["g_00000001"], atol=1e-5)


@pytest.mark.parametrize(
    ("block_frames", "padding", "neighbours"), [(1, "official", 0), (3, "official", 2), (1, "lab", 1), (3, "lab", 0)]
)
def test_samples_come_exactly_at_the_stated_delay(models, block_frames, padding, neighbours, tmp_path):
    stream, vocoder = live(between(models, tmp_path, neighbours), block_frames, padding, tmp_path)
    frame = 420 / 11413
    assert stream.latency == pytest.approx((block_frames + neighbours) * frame + vocoder.delay / 11413)
    seen, heard = 0, 0

    def frames():
        nonlocal seen
        for frame in tiny_models.moving_bar(30):
            seen += 1
            yield frame

    delays = []
    for block in itertools.islice(stream.stream(frames()), 5):
        delays.append(seen * frame - heard / 11413)
        heard += len(block)
    # Of the first sample of each block; the first block of all is the shorter one.
    assert delays[1:] == pytest.approx([stream.latency] * 4)
    assert delays[0] <= stream.latency


def test_frames_beyond_the_look_ahead_do_not_change_the_sound(models):
    stream, _ = live(models, 1)
    frames = tiny_models.moving_bar(30)
    changed = frames.copy()
    changed[15:] = 255 - changed[15:]
    a, b = (np.concatenate(list(stream.stream(clip))) for clip in (frames, changed))
    first = 15 * 420 - round(stream.look_ahead * 11413)
    np.testing.assert_allclose(a[:first], b[:first], atol=1e-6)
    assert np.abs(a[first : first + 420] - b[first : first + 420]).max() > 1e-6


def test_a_vocoder_of_another_mel_is_refused(models, tmp_path):
    other = dataclasses.replace(tiny_models.SPEC, fmax=5000.0)
    wrong = str(tiny_models.write_vocoder(tmp_path / "g_00000001", spec=other))
    with pytest.raises(UserError, match=r"fmax 5000.0 against 5706.5"):
        load_synthesiser(dataclasses.replace(models, hifigan_checkpoints=(wrong,)))


def test_a_vocoder_of_another_frame_rate_synthesises_clips_and_no_streams(models, tmp_path):
    spec = dataclasses.replace(tiny_models.SPEC, hop_length=137)
    faster = dataclasses.replace(
        models, mri_checkpoint=str(tiny_models.write_acoustic(tmp_path / "mri_acoustic_model.pt", spec=spec))
    )
    speech = load_synthesiser(faster).speech(tiny_models.moving_bar(23))
    (audio,) = speech.audio.values()
    assert speech.mel_db.shape[0] == 23 and audio.shape == (23 * 137,)
    with pytest.raises(UserError, match="hop_length 137 against 420"):
        live(faster)


def test_expected_numbers_are_checked_against_the_checkpoint(models):
    with pytest.raises(UserError, match=r"--rnn-hidden: is 640 but .* has 8"):
        load_synthesiser(dataclasses.replace(models, rnn_hidden=640))


def test_checkpoints_of_the_same_name_are_distinguished_by_directory(models, tmp_path):
    paths = [str(tmp_path / name / "g_00000001") for name in ("a", "b")]
    assert list(Models("m", (*paths, str(tmp_path / "g_2"))).vocoder_names) == ["a_g_00000001", "b_g_00000001", "g_2"]
    with pytest.raises(UserError, match="shares the name"):
        _ = Models("m", (paths[0], paths[0])).vocoder_names
