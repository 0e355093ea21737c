"""A pack gives the output of torch with the same models: mels to 1e-4 standard deviations, sound to 90 dB."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_models
import torch
from lab_tree import lab_weights

from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.run import Graph
from rtmri_speech.pack.export import MEL_TOLERANCE, SMALLEST_SNR, make_pack, signal_to_noise_db
from rtmri_speech.pack.format import GRAPHS, read_about, read_graph
from rtmri_speech.pack.speak import PackVocoder, load_live_pack, load_pack
from rtmri_speech.settings.use import Pack
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.synthesis.checkpoints import load_synthesiser
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.synthesiser import LiveSynthesiser
from rtmri_speech.vocoder.engine import load_vocoder

VOCODERS = Path(__file__).parents[1] / "vocoder" / "data"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
CONTEXTS = ("sequence", "window", "causal")
TERMS = Pack("MIT", "nobody", "none is needed")


def assert_equal(pack, checkpoints, frames, contexts=CONTEXTS, **acoustic_settings):
    """Compare mels in each context, and the vocoders from one mel."""
    acoustic = load_acoustic_model(checkpoints[0], "cpu", **acoustic_settings)
    vocoder = load_vocoder(checkpoints[1])
    for context in contexts:
        speech = load_pack(pack, context).speech(frames)
        expected = predict_db(acoustic, frames, context)
        difference = np.abs(acoustic.scaler.standardise(speech.mel_db) - acoustic.scaler.standardise(expected)).max()
        assert difference <= MEL_TOLERANCE, (context, len(frames))
        log_mel = np.float32(acoustic.mel.log_from_db(speech.mel_db).T)
        assert signal_to_noise_db(vocoder.synthesise(log_mel), speech.audio["vocoder"]) >= SMALLEST_SNR
        assert len(speech.audio["vocoder"]) == len(frames) * vocoder.hop_length


@pytest.mark.parametrize("count", [1, 2, 57, 300])
def test_clips_of_any_length_are_the_same_in_every_context(tiny_pack, tiny_checkpoints, count):
    assert_equal(tiny_pack, tiny_checkpoints, tiny_models.moving_bar(count))


@pytest.mark.slow
def test_a_clip_of_3000_frames_is_the_same(tiny_pack, tiny_checkpoints):
    assert_equal(tiny_pack, tiny_checkpoints, tiny_models.moving_bar(3000))


def test_another_backbone_frame_size_normalisation_and_padding(tmp_path):
    """A ResNet on frames that are shrunk and brought to [0, 1] each, and the lab's vocoder."""
    network = Network("test_resnet", rnn_hidden=6, n_mels=tiny_models.SPEC.n_mels)
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", size=(48, 40), normalisation="frame")
    content = torch.load(checkpoint, weights_only=False)
    torch.manual_seed(1)
    content |= {"network": dataclasses.asdict(network), "model_state_dict": AcousticModel(network).state_dict()}
    torch.save({**content, "image_size": [32, 24]}, checkpoint)
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000002", padding="lab")
    make_pack(tmp_path / "other.pack", checkpoint, vocoder, TERMS)
    frames = np.random.default_rng(0).integers(0, 256, (9, 48, 40), dtype=np.uint8)
    frames[3] = 7
    assert_equal(tmp_path / "other.pack", (checkpoint, vocoder), frames)


@pytest.mark.parametrize(("size", "normalisation"), [((32, 32), "unit"), ((64, 96), "frame"), ((45, 84), "frame")])
def test_principal_components_are_the_same(tmp_path, size, normalisation):
    settings = {"size": size, "normalisation": normalisation, "backbone": "principal_components"}
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", **settings)
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000002")
    make_pack(tmp_path / "linear.pack", checkpoint, vocoder, TERMS)
    assert read_about(tmp_path / "linear.pack").features == 60
    assert_equal(tmp_path / "linear.pack", (checkpoint, vocoder), tiny_models.moving_bar(9, size=size))


@pytest.mark.parametrize(("neighbours", "normalisation"), [(1, "unit"), (2, "frame")])
def test_frames_between_their_neighbours_are_the_same(tmp_path, neighbours, normalisation):
    settings = {"size": (48, 40), "normalisation": normalisation, "neighbours": neighbours}
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", **settings)
    content = torch.load(checkpoint, weights_only=False)
    torch.save({**content, "image_size": [32, 24]}, checkpoint)
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000002")
    make_pack(tmp_path / "a.pack", checkpoint, vocoder, TERMS)
    assert read_about(tmp_path / "a.pack").neighbours == neighbours
    # Repeated frames too, as in videos whose rate was raised.
    for count in (1, 2, 30):
        frames = np.repeat(tiny_models.moving_bar(count, size=(48, 40)), 3, axis=0)
        assert_equal(tmp_path / "a.pack", (checkpoint, vocoder), frames)
    live = load_live_pack(tmp_path / "a.pack", block_frames=2)
    assert live.look_ahead == pytest.approx((load_vocoder(vocoder).delay + neighbours * 420) / 11413)
    frames = tiny_models.moving_bar(25, size=(48, 40))
    whole = load_pack(tmp_path / "a.pack", "causal").speech(frames).audio["vocoder"]
    np.testing.assert_allclose(np.concatenate(list(live.stream(frames))), whole, atol=1e-4)


def test_streams_and_float_frames_are_accepted(tiny_pack):
    frames = tiny_models.moving_bar(12)
    speaker = load_pack(tiny_pack)
    expected = speaker.speech(frames)
    for given in (iter(frames), np.float32(frames / 255)):
        np.testing.assert_array_equal(speaker.speech(given).mel_db, expected.mel_db)


def test_the_packs_context_is_used_unless_another_is_asked_for(tiny_pack):
    frames = tiny_models.moving_bar(20)
    mels = {context: load_pack(tiny_pack, context).speech(frames).mel_db for context in (None, *CONTEXTS)}
    np.testing.assert_array_equal(mels[None], mels["window"])
    assert np.abs(mels["sequence"] - mels["window"]).max() > 1e-3


def test_live_sound_is_the_same_within_the_stated_delay(tiny_pack, tiny_checkpoints):
    seen = 0

    def frames():
        nonlocal seen
        for frame in tiny_models.moving_bar(25):
            seen += 1
            yield frame

    live = load_live_pack(tiny_pack, block_frames=2)
    blocks = live.stream(frames())
    heard = [next(blocks)]
    assert seen * 420 / 11413 <= live.latency
    heard = np.concatenate([*heard, *blocks])
    vocoder = load_vocoder(tiny_checkpoints[1], block_frames=2)
    by_torch = LiveSynthesiser(load_acoustic_model(tiny_checkpoints[0], "cpu"), vocoder)
    assert by_torch.latency == live.latency
    expected = np.concatenate(list(by_torch.stream(tiny_models.moving_bar(25))))
    # The mels differ by 1e-6 deviations, and so the sound a little more than from one mel.
    np.testing.assert_allclose(heard, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the reference numbers of the lab are not here")
def test_the_labs_mel_generator_makes_its_reference_numbers_from_a_pack(tmp_path):
    """At full size, with the lab's vocoder: against what the lab's program predicted."""
    settings = {
        "network": dataclasses.asdict(Network()),
        "image_size": [256, 256],
        "frame_size": [256, 256],
        # The reference divides by 255, as the lab's training did.
        "frame_normalisation": "unit",
        "ref_frames": 4,
        "scaler": {"mean": [0.0] * 64, "std": [1.0] * 64, "count_frames": 1},
    }
    weights = lab_weights(AcousticModel().state_dict())
    torch.save({"model_state_dict": weights, **settings}, tmp_path / "lab.pt")
    make_pack(tmp_path / "lab.pack", tmp_path / "lab.pt", VOCODERS / "hifigan_lab_tiny" / "g_00000000", TERMS)
    base = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    speech = load_pack(tmp_path / "lab.pack").speech(base.repeat(32, 1).repeat(32, 2))
    assert np.abs(speech.mel_db - np.load(FIXTURES / "acoustic_lab" / "expected.npy")).max() <= MEL_TOLERANCE


@pytest.mark.parametrize("name", ["hifigan_lab_tiny", "hifigan_official_tiny"])
def test_official_and_lab_vocoders_make_their_reference_sound_from_a_pack(tmp_path, name):
    """Against what the original programs made of the same mel (tests/vocoder/data/README.md)."""
    folder = VOCODERS / name
    vocoder = load_vocoder(folder / "g_00000000")
    acoustic = tiny_models.write_acoustic(tmp_path / "mri.pt", spec=vocoder.spec)
    make_pack(tmp_path / "a.pack", acoustic, folder / "g_00000000", TERMS)
    about = read_about(tmp_path / "a.pack")
    vocoder = PackVocoder(about, Graph(read_graph(tmp_path / "a.pack", about, GRAPHS[2]), "vocoder", 1))
    wave = np.load(next(path for path in folder.glob("output_wav*.npy") if "folded" not in path.name)).ravel()
    made = vocoder.synthesise(np.load(folder / "input_mel.npy").reshape(vocoder.spec.n_mels, -1))
    # Where a kernel minus its rate is odd, the original programs made a few samples less or more.
    shared = min(len(wave), len(made))
    assert shared >= 0.99 * len(made)
    assert signal_to_noise_db(wave[:shared], made[:shared]) >= SMALLEST_SNR


def test_the_command_writes_the_same_files_as_with_torch(tiny_pack, tiny_checkpoints, tmp_path):
    processed = tmp_path / "processed"
    (processed / "samples" / "c0").mkdir(parents=True)
    np.save(processed / "samples" / "c0" / "mri.npy", tiny_models.moving_bar(20))
    write_wav(processed / "wavs" / "c0.wav", np.zeros(20 * 420), 11413)
    script = Path(__file__).parents[2] / "workflow" / "scripts" / "run_mri_video_inference.py"
    common = [script, "--processed-dir", processed, "--clips", "c0", "--context", "causal", "--threads", 1]
    checkpoints = ["--mri-checkpoint", tiny_checkpoints[0], "--hifigan-checkpoint", tiny_checkpoints[1]]
    for name, models in (("pack", ["--model", tiny_pack]), ("torch", checkpoints)):
        words = [sys.executable, *map(str, [*common, *models, "--output-dir", tmp_path / name])]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == sorted(
        path.name for path in (tmp_path / "torch").iterdir()
    )
    mels = [np.load(tmp_path / name / "c0_mel.npy") for name in ("pack", "torch")]
    np.testing.assert_allclose(*mels, atol=1e-3)
    waves = [soundfile.read(tmp_path / name / "c0_generated.wav")[0] for name in ("pack", "torch")]
    np.testing.assert_allclose(*waves, atol=1e-3)


def test_a_pack_with_a_vocoder_of_another_frame_rate_equals_torch(tmp_path):
    spec = dataclasses.replace(tiny_models.SPEC, hop_length=137)
    checkpoints = (
        tiny_models.write_acoustic(tmp_path / "mri_acoustic_model.pt", spec=spec),
        tiny_models.write_vocoder(tmp_path / "g_00000001"),
    )
    pack, frames = tmp_path / "a.pack", tiny_models.moving_bar(23)
    make_pack(pack, *checkpoints, TERMS, context="window")
    assert read_about(pack).vocoder_mel == tiny_models.SPEC.to_dict()
    expected = load_synthesiser(Models(str(checkpoints[0]), (str(checkpoints[1]),), context="window")).speech(frames)
    (audio,), (torchs,) = load_pack(pack).speech(frames).audio.values(), expected.audio.values()
    assert audio.shape == (23 * 137,)
    assert signal_to_noise_db(torchs, audio) >= SMALLEST_SNR
    with pytest.raises(UserError, match="synthesises whole clips only"):
        load_live_pack(pack)
