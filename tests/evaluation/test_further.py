"""Paired comparison of two systems on further clips with an unused seed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.further import COMPARED, compare, load_system
from rtmri_speech.report.comparison import comparison_table, verdict

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "score_further_clips.py"


def clips(**values):
    return {"clips": {str(number): {name: value + number for name, value in values.items()} for number in range(9)}}


def test_each_row_of_the_other_system_is_compared_with_its_counterpart():
    rows = {
        "window": clips(estoi=0.5, mcd_db=5.0),
        "ceiling": clips(estoi=0.7, mcd_db=4.0),
        "against": clips(estoi=0.3, mcd_db=4.5),
        "against_ceiling": clips(estoi=0.7, mcd_db=4.0),
    }
    found = compare({"configured": "window", "rows": rows})
    assert list(found) == ["against", "against_ceiling"]
    assert list(found["against"]) == list(COMPARED)
    assert found["against"]["estoi"]["mean"] == pytest.approx(0.2)
    assert found["against"]["mcd_db"]["mean"] == pytest.approx(0.5)
    assert found["against_ceiling"]["estoi"]["mean"] == 0
    assert not compare({"configured": "window", "rows": {"window": rows["window"]}})


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("estoi", 0.02, 0.04, "better"),
        ("estoi", -0.04, -0.02, "worse"),
        ("mcd_db", 0.2, 0.4, "worse"),
        ("vuv_error", -0.2, -0.1, "better"),
        ("estoi", -0.01, 0.03, "no difference"),
        ("estoi", 0.002, 0.03, "no difference"),
        ("f0_correlation", 0.06, 0.22, "no difference"),
        ("estoi", None, None, "no difference"),
    ],
)
def test_a_difference_counts_if_its_interval_exceeds_that_of_another_seed(metric, low, high, said):
    difference = {"mean": low, "low": low, "high": high, "n": 24}
    assert verdict(metric, difference) == said
    assert comparison_table({metric: difference}, "that").splitlines()[-1].endswith(f"| 24 | {said} |")


def test_clips_seen_in_training_are_refused(tmp_path):
    pytest.importorskip("vocaltractlab_cython")
    descriptions = tmp_path / "demo" / "descriptions"
    descriptions.mkdir(parents=True)
    (descriptions / "000.json").write_text(json.dumps({"seed": 503}))
    for seed in (503, 7001):
        words = [sys.executable, SCRIPT, "--results", tmp_path, "--seed", seed]
        run = subprocess.run([*map(str, words)], capture_output=True, text=True)
        assert run.returncode == 2
        assert f"--seed: is {seed}, whose clips a training has seen" in run.stderr


def test_results_without_a_vocoder_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no g_<steps>"):
        load_system(tmp_path, "window")
