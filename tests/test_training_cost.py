"""How long a training takes on the processor, and when it is reported."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import yaml
from small_recordings import record

from rtmri_speech import training_cost
from rtmri_speech.configuration import load_configuration
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.training_cost import Cost, cost_on_processor, is_small, training_frames
from rtmri_speech.vocoder.train import Networks

ROOT = Path(__file__).parents[1]
TINY = {
    "mel": {"n_mels": 16},
    "acoustic": {"backbone": "test_efficientnet", "image_size": [32, 32], "rnn_hidden": 8, "stretch": 8, "epochs": 100},
    "vocoder": {"config": "config/hifigan_demo.json", "steps": 50},
}


def read(name):
    return load_configuration(yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8")))


def test_the_cost_is_the_time_of_a_step_times_the_steps(monkeypatch):
    monkeypatch.setattr(training_cost, "_timed", lambda step: (step() and 0) or 2.0)
    config = ROOT / "config" / "hifigan_demo.json"
    cost = cost_on_processor(load_configuration(TINY), 801, config)
    # 101 segments of 8 windows, two at a time, and a twentieth for validation; the demo's batch has 4 excerpts.
    assert cost.acoustic == pytest.approx(2.0 * 101 / 2 * 100 * 1.05) and cost.vocoder == 2.0 * 50 * 4
    without = load_configuration(TINY | {"synthesis": {"vocoder": "griffin-lim"}})
    assert cost_on_processor(without, 801, config).vocoder == 0
    capped = load_configuration(TINY | {"acoustic": TINY["acoustic"] | {"max_train_steps": 2, "batch_size": 4}})
    assert cost_on_processor(capped, 801, config).acoustic == pytest.approx(2 * 8 / 2 * 105)


@pytest.mark.parametrize("computes", [True, False])
def test_a_step_is_timed_in_the_precision_of_the_training(monkeypatch, computes):
    timed = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": computes})
    monkeypatch.setattr(Networks, "step", lambda networks, *_: timed.append(networks.bf16))
    settings = load_configuration(TINY | {"vocoder": TINY["vocoder"] | {"bf16": True}})
    cost_on_processor(settings, 1, ROOT / "config" / "hifigan_demo.json")
    assert set(timed) == {computes}


def test_the_demo_and_the_small_size_are_small_and_full_size_is_not():
    assert is_small(read("config.yaml"), 32 * 55) and is_small(read("small.yaml"), 1500)
    assert not is_small(read("full_size.yaml"), 1500)


def test_a_cost_is_given_in_days_hours_and_minutes():
    assert str(Cost(5 * 86400, 3 * 3600)) == "5 days for the mel generator and 3 hours for the vocoder"
    assert str(Cost(100, 0)) == "2 minutes for the mel generator"
    assert Cost(1800, 1801).worth_reporting and not Cost(1800, 0).worth_reporting


def test_frames_are_those_of_cuts_and_of_whole_recordings(tmp_path):
    for name in "ab":
        record(tmp_path / f"{name}.mp4", None, 2.0)
    whole = [Clip(name, tmp_path / f"{name}.mp4") for name in "ab"]
    cut = Clip("c", tmp_path / "a.mp4", start=0.5, end=1.5)
    assert training_frames([*whole, cut], Fraction(25)) == 125
    assert training_frames([Clip("d", tmp_path / "not made yet.mp4")], Fraction(25)) == 0


@pytest.mark.slow
def test_the_cost_of_full_size_on_a_processor_is_printed():
    run = subprocess.run(
        [
            *(sys.executable, ROOT / "workflow" / "scripts" / "estimate_training.py", "--frames", "20000"),
            *("--vocoder_config", ROOT / "config" / "hifigan_v1_11413.json"),
        ],
        input=json.dumps(yaml.safe_load((ROOT / "config" / "full_size.yaml").read_text(encoding="utf-8"))),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "PyTorch finds no GPU" in run.stdout and run.stdout.count("days for the") == 2
