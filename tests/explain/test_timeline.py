"""Maps over time by articulator: a table, and tiers that Praat reads."""

import csv
import json

import numpy as np
import pytest

from rtmri_speech.dataset.tiers import read_tiers
from rtmri_speech.evaluation.phonemes import Segment
from rtmri_speech.explain.regions import Regions
from rtmri_speech.explain.sequences import open_sequence, write_sequence
from rtmri_speech.explain.timeline import write_timeline
from rtmri_speech.signal.mel import MelSpec

SPEC = MelSpec.preset("hifigan", sampling_rate=10000, hop_length=1000, n_mels=12, fmax=5000)
"""Ten frames per second."""


def columns(first, last):
    """The polygon that contains the pixels of these columns."""
    return [[first + 0.5, 0], [last + 0.5, 0], [last + 0.5, 256], [first + 0.5, 256]]


REGIONS = Regions({"tract": {"lips": columns(0, 63), "tongue": columns(64, 127)}, "rest": {"head": columns(128, 255)}})


def written(tmp_path, shares, segments):
    """Rows and tiers of a clip whose map in each frame is evenly within the given shares of lips, tongue and head."""
    maps = np.repeat(np.array(shares, np.float32)[:, None, :] / [64, 64, 128], 256, axis=1)
    maps = np.repeat(maps, [64, 64, 128], axis=2)
    for band in ("F1", "F2"):
        facts = write_sequence(tmp_path / f"gradcam_{band}_sequence.npy", np.float32(maps))
        (tmp_path / f"gradcam_{band}.json").write_text(json.dumps(facts | {"frames": len(maps)}))
    sequences = {band: open_sequence(tmp_path, band) for band in ("F1", "F2")}
    write_timeline(sequences, REGIONS, SPEC, segments, tmp_path / "a.tsv", tmp_path / "a.TextGrid")
    with (tmp_path / "a.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return rows, read_tiers(tmp_path / "a.TextGrid")


COLUMNS = [[0.5, 0.25, 0.25], [1.0, 0.5, 0.5], [0, 0, 0], [0.2, 0.1, 0.7], [0.2, 0.6, 0.2]]


def test_the_table_has_each_frames_shares_and_phoneme(tmp_path):
    rows, _ = written(tmp_path, COLUMNS, [Segment("", 0, 0.1), Segment("a", 0.1, 0.3), Segment("b", 0.3, 0.5)])
    first = rows[:5]
    assert [row["band"] for row in rows] == ["F1"] * 5 + ["F2"] * 5
    assert [row["phoneme"] for row in first] == ["", "a", "a", "b", "b"]
    assert [(float(row["start_s"]), float(row["end_s"])) for row in first[:2]] == [(0, 0.1), (0.1, 0.2)]
    for row, column in zip(first, COLUMNS, strict=True):
        shares = [float(row[name]) for name in ("lips", "tongue", "head")]
        assert shares == pytest.approx(np.array(column) / (sum(column) or 1), abs=2e-4)
        assert float(row["mass"]) == pytest.approx(sum(column) / 2, abs=2e-4)


def test_the_tiers_name_the_densest_articulator_of_each_phoneme(tmp_path):
    segments = [Segment("a", 0.0, 0.2), Segment("t", 0.31, 0.34), Segment("i", 0.4, 0.5)]
    _, tiers = written(tmp_path, COLUMNS, segments)
    assert list(tiers) == ["phones", "F1", "F2"]
    spoken = [(label.text, label.start, label.end) for label in tiers["phones"] if label.text]
    assert spoken == [("a", 0, 0.2), ("t", 0.31, 0.34), ("i", 0.4, 0.5)]
    # The second phoneme has no frame's middle: its frame counts. The head is no articulator.
    assert [label.text for label in tiers["F1"] if label.text] == ["lips 0.50", "lips 0.20", "tongue 0.60"]
    assert [label.start for label in tiers["F1"] if label.text] == [0, 0.31, 0.4]


def test_without_phonemes_runs_of_one_articulator_are_labelled(tmp_path):
    rows, tiers = written(tmp_path, [[0.6, 0.2, 0], [0.6, 0.2, 0], [0.1, 0.3, 0]], [])
    assert {row["phoneme"] for row in rows} == {""}
    assert list(tiers) == ["F1", "F2"]
    found = [(label.text, label.start, label.end) for label in tiers["F1"]]
    assert found == [("lips 0.75", 0, 0.2), ("tongue 0.75", 0.2, 0.3)]
