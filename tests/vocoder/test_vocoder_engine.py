import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from rtmri_speech.errors import UserError
from rtmri_speech.graphs.run import Graph
from rtmri_speech.signal.mel import log_mel
from rtmri_speech.vocoder.checkpoint import official_state, write_pair
from rtmri_speech.vocoder.config import VocoderConfig, write_config
from rtmri_speech.vocoder.engine import Vocoder, export_onnx, load_vocoder
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.untrained import write_untrained

DATA = Path(__file__).parent / "data"
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def small(padding="official"):
    return VocoderConfig(
        padding=padding,
        resblock="2",
        upsample_rates=(15, 7, 4),
        upsample_kernel_sizes=(45, 21, 8),
        upsample_initial_channel=32,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 2), (2, 6)),
    )


def mel_of(frames):
    return (np.random.default_rng(frames).normal(size=(64, frames)) - 4).astype(np.float32)


@pytest.mark.parametrize("name", ["hifigan_official_tiny", "hifigan_lab_tiny"])
@pytest.mark.parametrize("block_frames", [7, 128])
def test_block_synthesis_reproduces_the_reference_outputs(name, block_frames):
    vocoder = load_vocoder(DATA / name / "g_00000000", block_frames=block_frames)
    made = vocoder.synthesise(np.load(DATA / name / "input_mel.npy")[0])
    reference = np.load(next((DATA / name).glob("output_wav*.npy")))[0, 0]
    assert made.dtype == np.float32 and made.shape == (60 * 420,)
    np.testing.assert_allclose(made, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding", ["official", "lab"])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("block_frames", [1, 6, 50])
def test_a_stream_is_bit_identical_to_the_whole_clip(padding, bf16, block_frames):
    vocoder = Vocoder(Generator(small(padding)), small(padding), bf16=bf16, block_frames=block_frames)
    mel = mel_of(47)
    whole = vocoder.synthesise(mel)
    for lengths in ([47], [1] * 47, [3, 0, 20, 24]):
        ends = np.cumsum(lengths)
        pieces = [mel[:, end - length : end] for end, length in zip(ends, lengths, strict=True)]
        blocks = list(vocoder.stream(iter(pieces)))
        assert np.array_equal(np.concatenate(blocks), whole)
        assert {len(block) for block in blocks[1:-1]} <= {block_frames * 420}


def test_bfloat16_of_the_shipped_base_has_45_db_snr():
    base = Path(__file__).parents[2] / "models" / "demo_vocoder" / "g_00016200"
    exact, half = (load_vocoder(base, bf16=bf16) for bf16 in (False, True))
    # A voice of 120 Hz that fades in and out: the harmonics fall by 12 dB an octave.
    time = np.arange(60 * 420) / exact.sampling_rate
    voice = sum(np.sin(2 * np.pi * 120 * n * time) / n**2 for n in range(1, 45)) * np.sin(np.pi * time / time[-1])
    mel = log_mel(exact.spec.mel(0.3 * voice))
    a, b = (vocoder.synthesise(mel).astype(np.float64) for vocoder in (exact, half))
    assert np.abs(a).max() > 0.05
    assert 10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)) >= 45


def test_an_empty_mel_makes_no_samples():
    assert Vocoder(Generator(small()), small()).synthesise(np.zeros((64, 0), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    ("mel", "reason"),
    [
        (np.zeros((20, 64)), "axes are transposed"),
        (np.zeros((80, 20)), r"\(80, 20\)"),
        (np.zeros(64), r"\(64,\)"),
        (np.full((64, 20), np.nan), "not finite"),
    ],
)
def test_an_unusable_mel_is_refused(mel, reason):
    with pytest.raises(UserError, match=reason):
        Vocoder(Generator(small()), small()).synthesise(mel)


def test_a_checkpoint_without_its_config_is_refused(tmp_path):
    write_pair(tmp_path, 3, {"generator": official_state(Generator(small()))}, {})
    with pytest.raises(UserError, match=r"config\.json: there is no such file"):
        load_vocoder(tmp_path / "g_00000003")
    write_config(tmp_path / "config.json", VocoderConfig(padding="official"))
    with pytest.raises(UserError, match="does not fit its config"):
        load_vocoder(tmp_path / "g_00000003")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        load_vocoder(tmp_path / "g_00000003")


@pytest.mark.parametrize("broken", ["truncated", "pickle", "text", "missing"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, broken):
    path = tmp_path / "g_00000003"
    write_config(tmp_path / "config.json", small())
    write_pair(tmp_path, 3, {"generator": official_state(Generator(small()))}, {})
    if broken == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif broken == "pickle":
        torch.save({"generator": Path("x")}, path)
    elif broken == "text":
        path.write_text("<html>not found</html>")
    else:
        path.unlink()
    with pytest.raises(UserError, match="g_00000003"):
        load_vocoder(path)


def run_inference(*words):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "inference_e2e.py"), *map(str, words)], capture_output=True, text=True
    )


def test_the_inference_script_writes_the_files_of_the_official_one(tmp_path):
    folder = DATA / "hifigan_official_tiny"
    (tmp_path / "mels").mkdir()
    np.save(tmp_path / "mels" / "clip.npy", np.load(folder / "input_mel.npy")[0])
    words = ["--input_mels_dir", tmp_path / "mels", "--checkpoint_file", folder / "g_00000000"]
    done = run_inference(*words, "--output_dir", tmp_path / "int")
    assert done.returncode == 0, done.stderr
    reference = np.load(folder / "output_wav_folded.npy")[0, 0]
    samples, rate = soundfile.read(tmp_path / "int" / "clip_generated_e2e.wav", dtype="int16")
    assert rate == 11413 and len(samples) == 60 * 420
    expected = np.clip(np.rint(reference * 32767), -32768, 32767)
    assert np.abs(samples - expected).max() <= 1
    assert run_inference(*words, "--output_dir", tmp_path / "float", "--float").returncode == 0
    info = soundfile.info(tmp_path / "float" / "clip_generated_e2e.wav")
    assert info.subtype == "FLOAT"
    samples, _ = soundfile.read(tmp_path / "float" / "clip_generated_e2e.wav", dtype="float32")
    np.testing.assert_allclose(samples, reference, rtol=0, atol=1e-5)


def test_the_inference_script_refuses_bad_mels_and_synthesises_the_others(tmp_path):
    np.save(tmp_path / "clip.npy", np.zeros((30, 64), np.float32))
    np.save(tmp_path / "good.npy", mel_of(5))
    words = ["--input_mels_dir", tmp_path, "--checkpoint_file", DATA / "hifigan_lab_tiny" / "g_00000000"]
    done = run_inference(*words, "--output_dir", tmp_path)
    assert done.returncode == 2
    assert "clip.npy" in done.stderr and "transposed" in done.stderr and "Traceback" not in done.stderr
    assert len(soundfile.read(tmp_path / "good_generated_e2e.wav")[0]) == 5 * 420


def test_the_inference_script_takes_griffin_lim_in_place_of_a_checkpoint(tmp_path):
    write_untrained(tmp_path / "griffin_lim.json", "griffin-lim", small("official").spec)
    np.save(tmp_path / "clip.npy", mel_of(5))
    words = ["--input_mels_dir", tmp_path, "--checkpoint_file", tmp_path / "griffin_lim.json"]
    done = run_inference(*words, "--output_dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(soundfile.read(tmp_path / "clip_generated_e2e.wav")[0]) == 5 * 420


@pytest.mark.parametrize("padding", ["official", "lab"])
def test_the_onnx_graph_gives_the_same_sound(tmp_path, padding):
    vocoder = Vocoder(Generator(small(padding)), small(padding))
    assert export_onnx(vocoder, tmp_path / "vocoder.onnx") < 1e-5
    graph = Graph((tmp_path / "vocoder.onnx").read_bytes(), tmp_path / "vocoder.onnx", 1)
    for frames in (1, 3, 40, 200):
        made = graph(mel_of(frames)[None], (1, 1, frames * 420))
        np.testing.assert_allclose(made[0, 0], vocoder.synthesise(mel_of(frames)), rtol=0, atol=1e-5)


def test_export_without_its_packages_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e .*\[train\]"):
        export_onnx(Vocoder(Generator(small()), small()), tmp_path / "vocoder.onnx")


def test_the_shipped_configs_are_valid():
    from rtmri_speech.vocoder.config import read_config

    configs = Path(__file__).parents[2] / "config"
    v1, lab = (read_config(configs / f"hifigan_{name}.json") for name in ("v1_11413", "lab"))
    assert (v1.spec.power, lab.spec.power) == (1, 2)
    # The memo's numbers.
    for config in (v1, lab):
        assert config.upsample_rates == (10, 7, 3, 2) and config.upsample_initial_channel == 512
        assert (config.batch_size, config.learning_rate, config.segment_size) == (16, 5e-5, 8400)
    for path in configs.glob("hifigan_*.json"):
        assert read_config(path).spec.n_mels == json.loads(path.read_text())["num_mels"]
