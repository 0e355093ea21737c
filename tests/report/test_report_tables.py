"""The results document, the metrics table, stage times and training curves."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from rtmri_speech.evaluation.metrics import score_pair
from rtmri_speech.report.document import results_document
from rtmri_speech.report.facts import SplitSize, StageTime, split_sizes, stage_times
from rtmri_speech.report.figures import read_scalars
from rtmri_speech.report.measures import MEASURES, floor_voicing_note, span
from rtmri_speech.tables import shown


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_document_cites_the_scores(experiment):
    text = results_document(experiment, "a command")
    scores = json.loads((experiment.evaluation / "scores.json").read_text())
    lines = text.splitlines()
    head = cells(next(line for line in lines if line.startswith("| system")))
    for row in scores["rows"].values():
        estoi = row["summary"]["estoi"]
        found = dict(zip(head, cells(next(x for x in lines if x.startswith(f"| {row['title']} |"))), strict=True))
        expected = f"{estoi['mean']:.3f} ({estoi['low']:.3f} – {estoi['high']:.3f})".replace("-", "−")
        assert found["ESTOI ↑"] == expected
    assert "Written by `a command`" in text
    assert "F0 sought from 77 to 170 Hz" in text
    assert any(line.startswith("| date | 20") for line in lines)
    assert any(line.startswith("| machine | ") and "cores" in line for line in lines)
    assert any("commit" in line for line in lines if line.startswith("| code |"))
    assert "| `train_acoustic` | 1 | 7200 | 9000 | 900 |" in lines
    assert f"| a2 | – | {shown(scores['rows']['sequence']['clips']['a2']['mel_mse'], 3)} |" in text


def test_the_document_cites_further_clips_and_what_they_are_compared_with(experiment, tmp_path):
    copied = tmp_path / "results" / "evaluation"
    shutil.copytree(experiment.evaluation, copied)
    told = replace(experiment, evaluation=copied)
    assert "further clips" not in results_document(told, "a command")
    scores = json.loads((experiment.evaluation / "scores.json").read_text())
    scores["compared"] = {"against": {"estoi": {"mean": 0.05, "low": 0.02, "high": 0.08, "n": 3}}}
    (tmp_path / "results" / "further").mkdir()
    (tmp_path / "results" / "further" / "scores.json").write_text(json.dumps(scores))
    lines = results_document(told, "a command").splitlines()
    assert "## Scores of 3 further clips" in lines
    assert "| ESTOI | 0.0500 | 0.0200 to 0.0800 | ± 0.01 | 3 | better |" in lines


def test_the_document_includes_the_faithfulness_of_maps(experiment, tmp_path):
    copied = tmp_path / "results" / "evaluation"
    shutil.copytree(experiment.evaluation, copied)
    told = replace(experiment, evaluation=copied)
    assert "can be believed" not in results_document(told, "a command")
    measured = {"deletion": {"mean": 0.5, "low": 0.4, "high": 0.6}, "masking": -0.001}
    found = {
        "clips": ["a2"],
        "methods": {"occlusion": {"model": True, "bands": {"F1": measured}}},
        "cascade": {"occlusion": {"F1": {"all": 0.1}}},
    }
    (tmp_path / "results" / "faithfulness").mkdir()
    (tmp_path / "results" / "faithfulness" / "faithfulness.json").write_text(json.dumps(found))
    lines = results_document(told, "a command").splitlines()
    assert "## How far the maps can be believed" in lines
    assert "| map | band | deletion ↑ | masking study ↑ |" in lines
    assert "| occlusion | F1 | 0.50 (0.40 – 0.60) | 0.00 |" in lines


def test_the_document_includes_the_formants_of_vowels(experiment, tmp_path):
    copied = tmp_path / "results" / "evaluation"
    shutil.copytree(experiment.evaluation, copied)
    told = replace(experiment, evaluation=copied)
    assert "vowels" not in results_document(told, "a command")
    values = {"mean": 31.4, "low": None, "high": None}
    measured = {f"F{number}{kind}": values for number in (1, 2, 3) for kind in ("_hz", "_bias_hz")}
    (copied / "formants").mkdir()
    (copied / "formants" / "formants.json").write_text(json.dumps({"ceiling": measured | {"vowels": 7}}))
    lines = results_document(told, "a command").splitlines()
    assert "## Formants of the vowels" in lines
    assert "| Ceiling: copy synthesis | 31 | 31 | 31 | 31 | 31 | 31 | 7 |" in lines


@pytest.mark.parametrize(("floor", "told"), [(0.10, True), (0.12, True), (0.16, False), (None, False)])
def test_a_low_voicing_error_of_the_floor_is_explained(floor, told):
    rows = {name: {"summary": {"vuv_error": {"mean": mean}}} for name, mean in (("window", 0.12), ("floor", floor))}
    note = floor_voicing_note({"configured": "window", "rows": rows})
    assert note.startswith("V/UV of the floor") == told
    assert not floor_voicing_note({"configured": "window", "rows": {"window": rows["window"]}})


def test_the_document_includes_mel_errors_and_grad_cam(experiment):
    errors = {
        name: {"all": error, "speech": 2 * error} for name, error in {"mean mel": 0.8, "model, window": 0.2}.items()
    }
    pitch = {
        "Ridge regression": {"f0_correlation": 0.78, "f0_rmse_cents": 170.4, "vuv_error": 0.25},
        "median F0, always voiced": {"f0_correlation": None, "f0_rmse_cents": 250.0, "vuv_error": 0.31},
    }
    (experiment.evaluation / "mel_errors.json").write_text(
        json.dumps({"test": {"clips": 3, "frames": 40, "systems": errors, "f0": pitch}})
    )
    averages = experiment.evaluation.parent / "gradcam" / "aggregate"
    averages.mkdir(parents=True)
    (averages / "aggregate.json").write_text(json.dumps({"findings": ["F1: more mass here than there."]}))
    lines = results_document(experiment, "a command").splitlines()
    assert "| model, window | 0.2000 (0.250) | 0.4000 (0.250) |" in lines
    assert "| Ridge regression | 0.780 | 170 | 0.250 |" in lines
    assert "| median F0, always voiced | – | 250 | 0.310 |" in lines
    assert "- F1: more mass here than there." in lines


def of_floor_and_ceiling(name, floor, ceiling, ours=0.5):
    """Rows of scores with one metric; each end is mean, low and high."""
    ends = {"floor": floor, "ceiling": ceiling, "window": (ours, None, None)}
    keys = ("mean", "low", "high")
    return {row: {"summary": {name: dict(zip(keys, end, strict=True))}} for row, end in ends.items()}


NOT_DEFINED = (None, None, None)


@pytest.mark.parametrize(
    ("name", "floor", "ceiling", "expected"),
    [
        ("estoi", (0.1, 0.05, 0.2), (0.7, 0.6, 0.8), (0.1, 0.7)),
        ("vuv_error", (0.9, 0.8, 0.95), (0.1, 0.05, 0.15), (0.9, 0.1)),
        ("vuv_error", (0.5, 0.4, 0.6), (0.89, 0.8, 0.95), None),
        ("vuv_error", (0.5, 0.4, 0.6), (0.45, 0.3, 0.55), None),
        ("estoi", (0.3, 0.3, 0.3), (0.3, 0.3, 0.3), None),
        ("estoi", (0.1, None, None), (0.2, None, None), (0.1, 0.2)),
        ("f0_correlation", NOT_DEFINED, (0.013, -0.1, 0.1), None),
        ("f0_correlation", (0.2, 0.1, 0.3), NOT_DEFINED, None),
        ("lag_ms", (70.0, 60.0, 80.0), (0.7, 0.1, 1.2), None),
    ],
)
def test_there_is_a_span_where_the_ceiling_is_better_than_the_floor(name, floor, ceiling, expected):
    measure = next(measure for measure in MEASURES if measure.name == name)
    assert span(measure, of_floor_and_ceiling(name, floor, ceiling)) == expected
    assert span(measure, {"window": of_floor_and_ceiling(name, floor, ceiling)["window"]}) is None


def test_the_document_gives_shares_of_a_span_and_names_the_measures_without_one(experiment, tmp_path):
    scores = json.loads((experiment.evaluation / "scores.json").read_text())
    rows = scores["rows"]
    kept = {"n": 3, "median": 0}
    for row, estoi, f0 in (("sequence", 0.5, 0.7), ("floor", 0.1, None), ("ceiling", 0.9, 0.013)):
        for name, mean in (("estoi", estoi), ("f0_correlation", f0)):
            rows[row]["summary"][name] = {"mean": mean, "low": mean, "high": mean, **kept}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    text = results_document(replace(experiment, evaluation=tmp_path), "a command")
    assert "Between floor (0 %) and ceiling (100 %), the first row is at 50 % in ESTOI." in text
    assert "F0 corr cannot be given this way: floor or ceiling is undefined, or the ceiling is not better" in text
    del rows["ceiling"], scores["mel_mse_by_bin"]["rows"]["ceiling"]
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert "cannot be given this way" not in results_document(replace(experiment, evaluation=tmp_path), "a command")


def test_metrics_and_measures_correspond():
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(16000) / 20) + 0.01 * rng.normal(size=16000)
    found = score_pair(tone, tone, 16000, 589)
    assert {measure.name for measure in MEASURES} == {*found, "real_time_factor"}


def test_measures_point_the_right_way():
    rng = np.random.default_rng(1)
    time = np.arange(24000) / 16000
    speech = np.sin(2 * np.pi * np.cumsum(140 + 40 * np.sin(5 * time)) / 16000) * (np.sin(9 * time) > -0.5)
    speech = np.tanh(8 * speech) * 0.3
    good, bad = (score_pair(speech, speech + n * rng.normal(size=24000), 16000, 589) for n in (0.001, 0.3))
    for measure in MEASURES:
        if measure.name in good and measure.better != "zero" and not np.isnan(bad[measure.name]):
            higher = good[measure.name] >= bad[measure.name]
            assert higher == (measure.better == "higher") or good[measure.name] == bad[measure.name], measure.name


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.4567, 2, "0.46"), (-1.25, 1, "−1.2"), (-0.0004, 2, "0.00"), (None, 1, "–"), (float("nan"), 1, "–")],
)
def test_numbers_are_shown_for_readers(value, digits, text):
    assert shown(value, digits) == text


def test_times_of_a_rule_are_summed_over_its_jobs(experiment):
    assert stage_times(experiment.benchmarks) == {
        "prepare_clip": StageTime(2, 3.5, 0.5, 80.5),
        "train_acoustic": StageTime(1, 7200.0, 9000.0, 900.0),
    }
    assert stage_times(experiment.benchmarks / "nothing") == {}


def test_set_sizes_count_unmasked_frames(experiment):
    from rtmri_speech.dataset.meta import load_mel_spec

    # The tiny clips are silent in their last frame.
    rate = 11413 / 420
    assert split_sizes(experiment.processed_dir, load_mel_spec(experiment.processed_dir)) == {
        "training": SplitSize(1, 12 / rate),
        "validation": SplitSize(1, 8 / rate),
        "test": SplitSize(3, 3 * 53 / rate),
    }


def test_curves_equal_the_logged_values(experiment):
    found = read_scalars(experiment.logs["acoustic"], ["metrics/val_mse", "metrics/train_mse"])
    assert found.keys() == {"metrics/val_mse"}
    assert found["metrics/val_mse"] == [(epoch, pytest.approx(1 / epoch)) for epoch in range(1, 6)]
    assert read_scalars(experiment.logs["vocoder"], ["loss"]) == {}
