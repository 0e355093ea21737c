"""A lab's files through Snakemake: inspected, used, trained further, and with corrected conventions."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from lab_tree import HOP, build_lab_tree, lab_windows
from workflow_checkout import Checkout

from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.signal.audio import read_audio

pytestmark = pytest.mark.slow

SMALL = {
    "acoustic": {"gpus": 0, "num_workers": 0, "cnn_pretrained": False, "use_checkpoint": False, "pin_memory": False},
    "vocoder": {"gpus": 0, "threads": 1, "steps": 2},
    "report": {"films": False},
}
"""What a small machine needs beside the proposed configuration."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A lab's machine with pictures of its full size, which its mel generator needs; not to be changed."""
    return build_lab_tree(tmp_path_factory.mktemp("lab") / "研究用 PC", clips=5, frames=(20, 24), size=(256, 256))


def state_of(root):
    """Return hash and time of every file in a directory."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="session")
def taken_over(lab, tmp_path_factory):
    """A checkout run with the proposed configuration: dataset, true mels, and speech of a test clip."""
    directory = tmp_path_factory.mktemp("base") / "作業"
    directory.mkdir()
    checkout = Checkout(directory, {})
    before = state_of(lab.root)
    script = ["workflow/scripts/inspect_lab_setup.py", str(lab.root), "--write", "lab.yaml"]
    subprocess.run([sys.executable, *script], cwd=directory, capture_output=True, check=True)
    checkout.settings = yaml.safe_load((directory / "lab.yaml").read_text(encoding="utf-8"))
    checkout.configure(**SMALL)
    ids = sorted(lab.mri)
    (checkout.test_id,) = checkout.settings["split"]["named"]["test"]
    mels = [f"results_lab/dataset/mels_gt_log/{id}.npy" for id in ids]
    checkout.told = checkout.make("dataset", *mels, f"results_lab/infer/{checkout.test_id}_generated.wav")
    assert state_of(lab.root) == before
    return checkout


@pytest.fixture
def dataset(taken_over):
    return taken_over.directory / "results_lab" / "dataset"


def test_frames_mels_and_scaler_equal_the_labs(lab, taken_over, dataset):
    for id, frames in lab.mri.items():
        mri = np.load(dataset / "samples" / id / "mri.npy")
        assert mri.dtype == np.uint8
        np.testing.assert_array_equal(mri.astype(np.float32) / np.float32(255), frames)
        np.testing.assert_array_equal(np.load(dataset / "samples" / id / "mel_db.npy"), lab.mel_db[id])
        # Independently computed by the tree's builder from its own mel.
        expected = np.load(lab.processed / "mels_gt_log" / f"{id}.npy")
        np.testing.assert_allclose(np.load(dataset / "mels_gt_log" / f"{id}.npy"), expected, atol=1e-5, rtol=0)
        wav = read_audio(dataset / "wavs" / f"{id}.wav", sampling_rate=11413)
        samples = lab.audio[id][: len(frames) * HOP] / 32768 * lab.gain
        np.testing.assert_allclose(wav, samples, atol=2 / 32767)
    scaler = json.loads((dataset / "scaler.json").read_text(encoding="utf-8"))
    assert scaler == {**lab.scaler, "mean": pytest.approx(lab.scaler["mean"]), "std": pytest.approx(lab.scaler["std"])}


@pytest.mark.parametrize("part", ["training", "validation"])
def test_windows_equal_the_labs(lab, taken_over, dataset, part):
    windows = WindowDataset(dataset, part)
    ids = taken_over.settings["split"]["named"][part]
    assert windows.ids == ids
    stored = {
        name: [np.load(lab.processed / "pairs_ref4_npy" / id / f"{name}.npy") for id in ids] for name in ("mri", "mel")
    }
    stored = {name: np.concatenate(arrays) for name, arrays in stored.items()}
    assert len(windows) == len(stored["mri"]) == sum(len(lab_windows(lab.mri[id])) for id in ids)
    for index, (mri, mel) in enumerate(zip(stored["mri"], stored["mel"], strict=True)):
        np.testing.assert_array_equal(windows[index]["mri"].astype(np.float32) / np.float32(255), mri[:, 0])
        np.testing.assert_allclose(windows[index]["mel"], mel, atol=1e-5)


def test_speech_maps_and_scores_need_no_training(taken_over):
    said = taken_over.told
    assert "lab.conventions is lab: frames, mels, masks and scaler come from" in said
    assert "The mel generator is" in said and "as it is." in said
    id = taken_over.test_id
    targets = [f"results_lab/gradcam/{id}/gradcam_F1_sequence.npy", "evaluation"]
    planned = {job.split()[0] for job in taken_over.pending(*targets)}
    assert not planned & {"train_acoustic", "fine_tune_vocoder", "fit_scaler", "infer_clip"}
    taken_over.make(*targets)
    scores = json.loads((taken_over.directory / "results_lab/evaluation/scores.json").read_text(encoding="utf-8"))
    # The lab's models have seen every clip, and the scores say so.
    assert scores["settings"]["not_held_out"] == ["scaler", "acoustic", "vocoder"]
    errors = json.loads((taken_over.directory / "results_lab/evaluation/mel_errors.json").read_text(encoding="utf-8"))
    assert errors["test"]["held_out"] is False


@pytest.fixture
def checkout(taken_over, tmp_path):
    """A modifiable copy of the checkout; file times are kept."""
    import copy
    import shutil

    other = copy.copy(taken_over)
    other.directory = tmp_path / "作業"
    shutil.copytree(taken_over.directory, other.directory)
    other.settings = copy.deepcopy(taken_over.settings)
    return other


def test_the_vocoder_is_fine_tuned_from_the_labs_on_mels_of_its_mel_generator(lab, checkout):
    checkout.configure(lab={"train_on": ["vocoder"]})
    target = "results_lab/vocoder/g_00330002"
    planned = {job.split()[0] for job in checkout.pending(target)}
    assert {"export_predicted_mels", "fine_tune_vocoder"} <= planned and "train_acoustic" not in planned
    checkout.make(target)
    log = (checkout.directory / "results_lab/logs/fine_tune_vocoder.log").read_text(encoding="utf-8")
    assert "AdaBelief" in log
    assert (checkout.directory / "results_lab/vocoder/do_00330002").exists()


def test_the_mel_generator_is_trained_further_from_the_labs_optimiser(lab, checkout):
    checkout.configure(lab={"train_on": ["acoustic"]}, acoustic={"epochs": 4, "max_train_steps": 1, "batch_size": 1})
    target = "results_lab/acoustic/mri_acoustic_model.pt"
    assert checkout.pending(target) == {"train_acoustic"}
    checkout.make(target)
    log = (checkout.directory / "results_lab/logs/train_acoustic.log").read_text(encoding="utf-8")
    assert "goes on from its epoch 3" in log and "optimiser is left out" not in log
    import torch

    made = torch.load(checkout.directory / target, weights_only=True)
    assert made["epoch"] == 4 and made["seen_before"] is None
    # AdamW had made a step in the lab, and makes another here.
    assert {int(state["step"]) for state in made["optimizer_state_dict"]["state"].values()} == {2}


def test_fixed_conventions_need_one_setting_and_a_dry_run_lists_the_training(lab, checkout):
    checkout.configure(lab={"conventions": "fixed"})
    target = f"results_lab/infer/{checkout.test_id}_generated.wav"
    run = checkout.snakemake("-n", target)
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    assert "lab.conventions is fixed: only the recordings are the lab's; mels are made anew" in said
    assert "The mel generator must be trained (train_acoustic), from nothing." in said
    assert "The vocoder must be trained (fine_tune_vocoder), from nothing." in said
    planned = {job.split()[0] for job in checkout.pending(target)}
    made_anew = {"prepare_clip", "fit_scaler", "write_meta", "train_acoustic", "export_predicted_mels"}
    assert made_anew | {"fine_tune_vocoder", "infer_clip"} <= planned
    assert "Params have changed since last execution" in said
    made = ("meta.json", "scaler.json", f"mels_gt_log/{checkout.test_id}.npy")
    checkout.make(*(f"results_lab/dataset/{name}" for name in made))
    meta = json.loads((checkout.directory / "results_lab/dataset/meta.json").read_text(encoding="utf-8"))
    assert (meta["mel"]["alignment"], meta["mel"]["power"], meta["preemph"]) == ("centred", 1, 0.0)
    training = checkout.settings["split"]["named"]["training"]
    masks = [np.load(checkout.directory / f"results_lab/dataset/samples/{id}/mask.npy") for id in training]
    scaler = json.loads((checkout.directory / "results_lab/dataset/scaler.json").read_text(encoding="utf-8"))
    assert scaler["count_frames"] == sum(mask.sum() for mask in masks)
