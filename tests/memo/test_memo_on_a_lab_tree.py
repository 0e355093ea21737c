"""The memo's first commands on the files of a machine with the old system."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tiny_models
from lab_tree import build_lab_tree
from memo_commands import CONVERT, FILELISTS, PREPROCESS, ROOT, SCRIPTS, pasted

from rtmri_speech.dataset.windows import WindowDataset


def run(words, tree=None, code=0):
    done = subprocess.run(
        [*map(str, words)],
        cwd=tree.hifi_gan if tree else None,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture
def tree(tmp_path):
    """The files of a machine that stored the windows as npz only."""
    return build_lab_tree(tmp_path / "Yamane", clips=5, size=(32, 32), layouts=("npz",), checkpoints=False)


def test_convert_pairs_reads_the_npz_windows(tree):
    said = run(pasted(CONVERT, tree.root), tree)
    for id, mri in tree.mri.items():
        assert f"samples/{id} was rebuilt from stored windows." in said
        stored = np.load(tree.processed / "samples" / id / "mri.npy")
        np.testing.assert_array_equal(stored / np.float32(255), mri)
    windows = WindowDataset(tree.processed, "training")
    assert len(windows) == sum(len(tree.mri[id]) - 3 for id in windows.ids)


def test_filelists_of_the_old_system_stay_byte_for_byte(tree):
    before = contents(tree.processed)
    said = run(pasted(FILELISTS, tree.root), tree)
    assert "stay there" in said
    assert contents(tree.processed) == before


def test_preprocessing_into_the_old_dataset_is_refused_and_changes_nothing(tree):
    before = contents(tree.root)
    # So few clips need to be told their parts.
    parts = ["--valid-ids", "001", "--test-ids", "002"]
    said = run([*pasted(PREPROCESS, tree.root), *parts], tree, code=2)
    assert "meta.json: belongs to a dataset of the old system, which is not overwritten; give another --out_dir" in said
    assert contents(tree.root) == before


@pytest.mark.slow
def test_inference_accepts_a_vocoder_named_pt(tmp_path):
    from rtmri_speech.signal.video import write_video

    models = tmp_path / "models"
    acoustic = tiny_models.write_acoustic(models / "mri_acoustic_model.pt")
    vocoder = tiny_models.write_vocoder(models / "g_00330000.pt")
    write_video(tmp_path / "000.mp4", tiny_models.moving_bar(12), tiny_models.SPEC.frame_rate)
    named = ["--video", tmp_path / "000.mp4", "--mri-checkpoint", acoustic, "--hifigan-checkpoint", vocoder]
    run([sys.executable, SCRIPTS / "run_mri_video_inference.py", *named, "--output-dir", tmp_path / "made"])
    assert len(soundfile.read(tmp_path / "made" / "000_generated.wav")[0]) == 12 * 420
