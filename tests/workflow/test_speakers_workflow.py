"""Statistics by speaker through Snakemake: jobs know who speaks in their clips, and run again if that changes."""

import json

import numpy as np
import pytest
import tiny_models
from workflow_checkout import CLIPS, TINY_ACOUSTIC, make_recording

pytestmark = pytest.mark.slow

SPEAKERS = {"a0": "Anna", "a1": "Bert", "a2": "Anna", "b0": "Bert", "b1": "Carl"}
INFER = "結果 1/infer"
BOTH = [f"{INFER}/b0_mel.npy", f"{INFER}/b1_mel.npy"]


def write_table(folder, speakers, texts=None):
    """The corpus of `tiny_checkout` as a table; a speaker may be empty."""
    rows = [
        (id, f"動画 videos/{id}.mp4", f"audio/{id}.wav", speakers.get(id, ""), (texts or {}).get(id, ""))
        for id in CLIPS
    ]
    lines = ["\t".join(row) for row in [("id", "video", "audio", "speaker", "text"), *rows]]
    (folder / "clips.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def spoken(checkout):
    """The checkout with a table of clips by speaker."""
    write_table(checkout.directory, SPEAKERS)
    checkout.configure(
        corpus={"source": "table", "table": "clips.tsv", "videos": None, "audio": None},
        acoustic={**TINY_ACOUSTIC, "epochs": 1, "speaker_statistics": True},
    )
    return checkout


def test_clips_without_a_speaker_are_refused_when_a_training_is_planned(spoken):
    write_table(spoken.directory, {id: name for id, name in SPEAKERS.items() if id != "a2"})
    run = spoken.snakemake("-n", "結果 1/acoustic/mri_acoustic_model.pt")
    assert run.returncode
    assert "corpus: does not say who speaks in a2, which acoustic.speaker_statistics and" in run.stdout + run.stderr
    # A test clip's mel then has the statistics of all.
    write_table(spoken.directory, {id: name for id, name in SPEAKERS.items() if id != "b1"})
    assert "train_acoustic" in spoken.pending("結果 1/acoustic/mri_acoustic_model.pt")


def test_each_clip_has_the_statistics_of_its_speaker_and_new_videos_of_whom_the_setting_names(spoken, tmp_path):
    by_name = {
        name: {"mean": [mean] * 16, "std": [spread] * 16, "count_frames": 9}
        for name, mean, spread in (("Anna", -30.0, 10.0), ("Bert", -60.0, 5.0))
    }
    polygon = spoken.directory / "left.json"
    polygon.write_text(json.dumps([[0, 0], [1, 0], [1, 1], [0, 1]]))
    make_recording(spoken.directory / "new" / "n1.mp4", spoken.directory / "x.wav", seed=5)
    given = {
        "mri_checkpoint": str(tiny_models.write_acoustic(tmp_path / "mri.pt", speakers=by_name)),
        "hifigan_checkpoint": str(tiny_models.write_vocoder(tmp_path / "g_00000001")),
        "new_videos": "new",
        "speaker": "Bert",
        "masks": {"corner": {"type": "custom", "polygons": polygon.name, "alpha": 0.0}},
    }
    spoken.configure(synthesis=given)
    more = ["結果 1/masked/corner/infer/b0_mel.npy", "結果 1/infer_new/n1_mel.npy"]
    spoken.make(*BOTH, *more)
    b0, b1, masked, new = (np.load(spoken.directory / path) for path in (*BOTH, *more))
    # Untrained outputs are within a unit of 0.
    assert np.abs(b0 + 60).max() < 10 and np.abs(new + 60).max() < 10
    assert np.abs(b1 + 40).max() < 20 and np.abs(b1 + 60).min() > 0
    np.testing.assert_allclose(masked, b0, atol=1.0)
    log = (spoken.directory / "結果 1/logs/infer_clip/b1.log").read_text(encoding="utf-8")
    assert "b1: as far as is known, spoken by none of the model's speakers (Anna, Bert)" in log

    assert spoken.pending(*BOTH, *more) == set()
    write_table(spoken.directory, {**SPEAKERS, "a0": "Bert"}, {"b0": "another text"})
    assert spoken.pending(*BOTH, *more) == set()
    write_table(spoken.directory, {**SPEAKERS, "b0": "Anna"})
    jobs = {"list_speakers test", "infer_clip b0", "infer_clip b1", "infer_masked corner"}
    assert spoken.pending(*BOTH, *more) == jobs
    spoken.make(*BOTH)
    assert np.abs(np.load(spoken.directory / BOTH[0]) + 30).max() < 15

    spoken.configure(acoustic={"speaker_statistics": False})
    run = spoken.snakemake(*BOTH)
    assert run.returncode and "mri.pt: was trained to distinguish speakers" in run.stdout + run.stderr
