import dataclasses
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from rtmri_speech.acoustic.context import decode_in_context
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.predict import (
    export_predicted,
    frame_features,
    load_acoustic_model,
    predict_db,
)
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.training.state import load_checkpoint, save_checkpoint

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
NETWORK = Network("test_efficientnet", rnn_hidden=8, n_mels=12)


@pytest.fixture
def checkpoint(tmp_path, tiny_processed):
    """A checkpoint of an untrained model, with all keys of ours."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scaler = Scaler.load(tiny_processed / "scaler.json")
    content = {
        "model_state_dict": AcousticModel(NETWORK).state_dict(),
        "network": dataclasses.asdict(NETWORK),
        "image_size": [32, 32],
        "frame_size": [32, 32],
        "ref_frames": 4,
        "frame_normalisation": "unit",
        "mel": load_mel_spec(tiny_processed).to_dict(),
        "scaler": {
            "mean": scaler.mean.tolist(),
            "std": scaler.std.tolist(),
            "count_frames": scaler.count_frames,
        },
        "training_ids": ["a0", "a1", "a2"],
        "validation_ids": ["a3", "a4"],
    }
    save_checkpoint(tmp_path / "model.pt", content)
    return tmp_path / "model.pt"


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32)).astype(np.uint8)


@torch.inference_mode()
def test_each_context_equals_window_by_window_computation(checkpoint, frames):
    """Against the model called window by window, each with its own pass of the CNN."""
    bundle = load_acoustic_model(checkpoint, "cpu")
    model, picture = bundle.model, torch.from_numpy(frames[:, None] / np.float32(255))
    whole = model(picture, torch.tensor([0]), 40)[0]
    windows = [model(picture[t : t + 4], torch.tensor([0]), 4)[0] for t in range(37)]
    average = [torch.stack([windows[t - p][p] for p in range(4) if 0 <= t - p < 37]).mean(0) for t in range(40)]
    latest = [model(picture[max(t - 3, 0) : t + 1], torch.tensor([0]), min(t + 1, 4))[0, -1] for t in range(40)]
    for context, expected in (("sequence", whole), ("window", torch.stack(average)), ("causal", torch.stack(latest))):
        standardised = decode_in_context(model.decode, frame_features(bundle, frames), context, 4)
        torch.testing.assert_close(standardised, expected, atol=1e-5, rtol=0)
        db = predict_db(bundle, iter(frames), context)
        assert db.dtype == np.float32
        np.testing.assert_allclose(db, expected.numpy() * bundle.scaler.std + bundle.scaler.mean, atol=1e-3)


def test_causal_context_ignores_future_frames(checkpoint, frames):
    bundle = load_acoustic_model(checkpoint, "cpu")
    changed = frames.copy()
    changed[20:] = 255 - changed[20:]
    first = {}
    for context in ("causal", "window", "sequence"):
        moved = np.abs(predict_db(bundle, changed, context) - predict_db(bundle, frames, context)).max(1) > 1e-4
        first[context] = int(moved.argmax())
    assert first["causal"] == 20
    assert first["window"] == 17
    assert first["sequence"] < 17


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("context", ["sequence", "window", "causal"])
def test_clips_shorter_than_a_window_are_predicted(checkpoint, frames, count, context):
    assert predict_db(load_acoustic_model(checkpoint, "cpu"), frames[:count], context).shape == (count, 12)


def test_memory_is_constant_for_a_stream_of_frames(checkpoint):
    bundle = dataclasses.replace(load_acoustic_model(checkpoint, "cpu"), frame_size=(128, 128))

    def peak(count):
        tracemalloc.start()
        predict_db(bundle, (np.zeros((128, 128), np.uint8) for _ in range(count)), "window")
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(64)
    # A frame's features and mels are kept, a fifth of its pixels.
    assert peak(640) < peak(64) + 640 * 128 * 128 / 4


def test_bfloat16_is_close_to_float32(checkpoint, frames):
    near, exact = (
        predict_db(load_acoustic_model(checkpoint, "cpu", precision=precision), frames)
        for precision in ("bfloat16", "float32")
    )
    assert 0 < np.abs(near - exact).max() < 0.05 * np.ptp(exact)


def test_wrong_frames_contexts_and_empty_videos_are_refused(checkpoint, frames):
    bundle = load_acoustic_model(checkpoint, "cpu")
    with pytest.raises(UserError, match=r"was trained on frames of 32×32, these have 16×32"):
        predict_db(bundle, frames[:, :16])
    with pytest.raises(UserError, match="--context: is 'future'"):
        predict_db(bundle, frames, "future")
    with pytest.raises(UserError, match="video: has no frames"):
        predict_db(bundle, iter([]))


def test_a_dataset_incompatible_with_the_checkpoint_is_refused(checkpoint):
    with pytest.raises(UserError, match=r"model\.pt: was trained with another scaler\.json"):
        load_acoustic_model(checkpoint, "cpu", scaler=Scaler(np.zeros(12), np.ones(12), 1))
    spec = load_acoustic_model(checkpoint, "cpu").mel
    with pytest.raises(UserError, match="hop_length 420 against 256"):
        load_acoustic_model(checkpoint, "cpu", mel=dataclasses.replace(spec, hop_length=256))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrapper_prefixes_of_distributed_training_are_removed(checkpoint, frames, prefix):
    before = predict_db(load_acoustic_model(checkpoint, "cpu"), frames)
    content = load_checkpoint(checkpoint)
    state = content["model_state_dict"]
    save_checkpoint(checkpoint, {**content, "model_state_dict": {prefix + key: state[key] for key in state}})
    np.testing.assert_array_equal(predict_db(load_acoustic_model(checkpoint, "cpu"), frames), before)
    # One name with a prefix is no wrapper.
    save_checkpoint(checkpoint, {**content, "model_state_dict": {**state, prefix + "head.bias": state["head.bias"]}})
    with pytest.raises(UserError, match=rf"has the unknown key {prefix}head\.bias"):
        load_acoustic_model(checkpoint, "cpu")


def test_a_lab_checkpoint_gets_its_settings_and_needs_a_scaler(tmp_path):
    content = {"model_state_dict": AcousticModel().state_dict()}
    save_checkpoint(tmp_path / "lab.pt", content)
    with pytest.raises(UserError, match=r"lab\.pt: holds no scaler"):
        load_acoustic_model(tmp_path / "lab.pt", "cpu")
    bundle = load_acoustic_model(tmp_path / "lab.pt", "cpu", scaler=Scaler(np.zeros(64), np.ones(64), 1))
    assert (bundle.image_size, bundle.normalisation, bundle.ref_frames) == ((256, 256), "frame", 4)
    assert bundle.mel == MelSpec.preset("lab")
    assert bundle.seen is None
    del content["model_state_dict"]["head.bias"]
    save_checkpoint(tmp_path / "lab.pt", content)
    with pytest.raises(UserError, match=r"lab\.pt: lacks key head\.bias"):
        load_acoustic_model(tmp_path / "lab.pt", "cpu")


def script(name, *arguments, code=0):
    command = [sys.executable, SCRIPTS / name, *arguments]
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_every_clip_is_exported_and_existing_files_are_kept(checkpoint, tiny_processed, tmp_path):
    common = ("--processed_dir", tiny_processed, "--output_dir", tmp_path / "predicted")
    common += ("--mri_checkpoint", checkpoint, "--scaler_json", tiny_processed / "scaler.json", "--cpu")
    (tmp_path / "predicted").mkdir()
    np.save(tmp_path / "predicted" / "a1.npy", np.zeros(3))
    np.save(tiny_processed / "samples" / "a4" / "mask.npy", np.zeros(3))
    told = script("export_predicted_mels.py", *common, "--mri_code_dir", "C:/somewhere", code=2)
    assert "4 mels written, 1 were there already" in told
    assert "a4: mri.npy, mel_db.npy and mask.npy have 8, 8 and 3 frames" in told
    assert sorted(path.stem for path in (tmp_path / "predicted").iterdir()) == ["a0", "a1", "a2", "a3", "a5"]
    assert np.load(tmp_path / "predicted" / "a1.npy").shape == (3,)
    bundle = load_acoustic_model(checkpoint, "cpu")
    settings = {"ids": ["a1"], "context": "causal", "overwrite": True}
    export_predicted(bundle, tiny_processed, tmp_path / "predicted", **settings)
    log_mel = np.load(tmp_path / "predicted" / "a1.npy")
    mri = np.load(tiny_processed / "samples" / "a1" / "mri.npy")
    db = predict_db(bundle, mri, "causal")
    assert log_mel.dtype == np.float32
    np.testing.assert_allclose(log_mel, np.maximum(np.log(10) / 20 * db, np.log(1e-5)).T, atol=1e-5)


def test_true_mels_are_exported_without_torch(tiny_processed, tmp_path):
    common = ("--processed_dir", tiny_processed, "--output_dir", tmp_path / "true")
    assert "6 mels written" in script("export_groundtruth_mels.py", *common)
    assert "6 were there already" in script("export_groundtruth_mels.py", *common)
    db = np.load(tiny_processed / "samples" / "a2" / "mel_db.npy")
    np.testing.assert_allclose(np.load(tmp_path / "true" / "a2.npy"), (np.log(10) / 20 * db).T, rtol=1e-5)
    assert "there is no such file" in script("export_groundtruth_mels.py", *common, "--clips", "b9", code=2)


def test_a_checkpoint_round_trips(checkpoint):
    assert load_acoustic_model(checkpoint, "cpu").seen == ("a0", "a1", "a2", "a3", "a4")
    assert load_checkpoint(checkpoint)["image_size"] == [32, 32]


@pytest.mark.parametrize("name", ["train_mri_acoustic_model", "export_predicted_mels", "export_groundtruth_mels"])
def test_help_imports_nothing_heavy(name):
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: sys.stderr.write(str({'torch', 'numpy'} & set(sys.modules))))\n"
        f"sys.argv = [{name!r}, '--help']\n"
        f"runpy.run_path({str(SCRIPTS / name) + '.py'!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--processed_dir" in done.stdout
    assert done.stderr == "set()"
