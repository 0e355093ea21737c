"""An ablation of two tiny variants: its runs, its table, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from rtmri_speech.acoustic.context import Prediction
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation import ablation
from rtmri_speech.signal.audio import write_wav

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "run_ablation.py"
BASE = {
    "acoustic": {
        "backbone": "principal_components",
        "components": 5,
        "rnn_hidden": 8,
        "stretch": 4,
        "batch_size": 4,
        "epochs": 2,
        "num_workers": 0,
        "loss": {"ramp_steps": 10},
    }
}
VARIANTS = {"plain": None, "longer windows": {"windows": {"ref_frames": 6}, "acoustic": {"average": 0.9}}}


@pytest.fixture
def dataset(make_tiny_processed, tmp_path):
    """Clips whose second half is speech."""
    lengths = (("training", (40, 40)), ("validation", (40,)), ("test", (40,)))
    directory = make_tiny_processed(tmp_path / "processed", lengths)
    spec = load_mel_spec(directory)
    (directory / "wavs").mkdir()
    for folder in (directory / "samples").iterdir():
        frames = len(open_sample(directory, folder.name).sound_mask)
        wave = np.random.default_rng(0).normal(0, 0.1, frames * spec.hop_length)
        write_wav(
            directory / "wavs" / f"{folder.name}.wav", wave * (np.arange(len(wave)) > len(wave) / 2), spec.sampling_rate
        )
    return directory


def test_the_error_is_that_of_speech_frames_in_db(dataset):
    data = ablation.HeldOut(dataset)
    true = open_sample(dataset, "a3").mel_db

    def off_by_three(clip):
        # The first half is no speech, and the last frame has no sound.
        wrong = np.where(np.arange(len(clip.mri))[:, None] < 19, 50.0, 3.0)
        wrong[-1] = 50
        return Prediction(true + wrong, None)

    assert data.scores(off_by_three)["test"]["error_db"] == pytest.approx(3, abs=1e-4)
    exact = data.scores(lambda clip: Prediction(true, None))["test"]
    assert exact["error_db"] == 0 and exact["estoi"] > data.baselines()["Mean mel"]["test"]["estoi"]


@pytest.mark.slow
def test_the_script_trains_every_variant_and_writes_its_section(dataset, tmp_path):
    for name, content in (("base", BASE), ("variants", VARIANTS)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n## Tiny\n\nold\n\n## Another\n\nkept\n", encoding="utf-8")
    words = [
        "--processed_dir",
        dataset,
        "--configfile",
        tmp_path / "base.yaml",
        "--variants",
        tmp_path / "variants.yaml",
    ]
    words += ["--output_dir", tmp_path / "out", "--seeds", 2, "--page", page, "--title", "Tiny"]

    def run(*further):
        command = [sys.executable, SCRIPT, *words, *further]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# A page\n\n## Tiny\n\n|") and text.endswith("## Another\n\nkept\n") and "old" not in text
    rows = {cells[1].strip(): cells[2:-1] for line in text.splitlines() if len(cells := line.split("|")) > 2}
    assert list(rows) == ["", "---", "Mean mel", "5 nearest training frames", "Ridge regression", *VARIANTS]
    assert rows["longer windows"][0].strip() == "`{windows: {ref_frames: 6}, acoustic: {average: 0.9}}`"
    for name in VARIANTS:
        assert rows[name][1].strip() == "2"
        mean, low, high = (float(word.strip("()")) for word in rows[name][2].replace("–", " ").split())
        assert low <= mean <= high and low != high
    # A table of what is finished, after a third seed was begun or not.
    done = run("--seeds", 3, "--no_train", "--only", "plain")
    assert done.returncode == 0 and "| plain | as configured | 2 |" in done.stdout
    # What was made is read again, and another configuration is not mixed with it.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.pt")}
    assert len(before) == 4 and run().returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("model.pt")}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(ablation.laid_over(BASE, {"acoustic": {"epochs": 3}})))
    assert "seed0: has a run with other settings; delete it" in run().stderr
    assert "--only: names 'plane'; give some of 'plain', 'longer windows'" in run("--only", "plane").stderr


def test_a_variant_of_the_data_is_refused():
    with pytest.raises(UserError, match=r"v\.yaml: its variant 'more bins' is not a table of acoustic and windows"):
        ablation.variants_of(BASE, {"more bins": {"mel": {"n_mels": 80}}}, "v.yaml")
    with pytest.raises(UserError, match=r"acoustic\.average: is 2"):
        ablation.variants_of(BASE, {"wrong": {"acoustic": {"average": 2}}}, "v.yaml")


@pytest.mark.parametrize(("content", "told"), [("[1, 2]", "is not a table of settings"), ("a: [", "is not valid YAML")])
def test_a_file_of_other_content_is_refused(tmp_path, content, told):
    (tmp_path / "v.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"v\.yaml: {told}"):
        ablation.read_settings(tmp_path / "v.yaml")
