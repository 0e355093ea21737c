"""Evaluation and page through Snakemake: from models to index.html, and again after a change."""

import json
import re
import shutil
import subprocess
import sys

import cv2
import pytest
import tiny_models
import torch
from test_docs import missing
from workflow_checkout import ROOT

pytestmark = pytest.mark.slow

PAGE = "結果 1/report/index.html"


@pytest.fixture
def reported(checkout, tmp_path):
    """The checkout with given, untrained models (so that nothing is trained) and without films."""
    checkout.configure(
        synthesis={
            "mri_checkpoint": str(tiny_models.write_acoustic(tmp_path / "mri_acoustic_model.pt")),
            "hifigan_checkpoint": str(tiny_models.write_vocoder(tmp_path / "g_00000001")),
        },
        report={"films": False},
        evaluation={"contexts": ["causal"]},
    )
    return checkout


def written_results(checkout, output):
    """The document and README's pictures from finished results; without a browser, only the document."""
    pictures = ["--pictures"] if shutil.which("chromium") and shutil.which("chromedriver") else []
    script = ROOT / "workflow" / "scripts" / "write_results.py"
    command = [sys.executable, script, "--results", checkout.results, "--output", output / "results.md", *pictures]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    sizes = {}
    for name in ("report_1280.png", "report_390.png", "sample.jpg") if pictures else ():
        picture = cv2.imread(str(output / name))
        assert picture.std() > 10
        sizes[name] = picture.shape[1::-1]
    if pictures:
        assert sizes["report_1280.png"] == (1280, 1180) and sizes["report_390.png"] == (390, 844)
        assert sizes["sample.jpg"][0] == 1200
    assert {path.name for path in output.iterdir()} == {"results.md", *sizes}
    return (output / "results.md").read_text(encoding="utf-8")


def use_own_scaler(checkout, checkpoint):
    """Give the model the dataset's scaler, as a training does."""
    content = torch.load(checkpoint, weights_only=True)
    content["scaler"] = json.loads((checkout.directory / "結果 1/dataset/scaler.json").read_text())
    content["training_ids"], content["validation_ids"] = ["a0", "a1"], ["a2"]
    torch.save(content, checkpoint)


def test_the_page_is_remade_when_its_inputs_change(reported, tmp_path):
    use_own_scaler(reported, tmp_path / "mri_acoustic_model.pt")
    assert reported.pending(PAGE) == {
        "evaluate_systems",
        "compare_vocoder",
        "record_provenance evaluation",
        "write_settings",
        "make_report",
    }
    reported.make(PAGE)
    assert reported.pending(PAGE) == set()
    results = reported.directory / "結果 1"
    scores = json.loads((results / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    assert list(scores["rows"]) == ["sequence", "causal", "floor", "look_up", "ridge", "ceiling", "griffin_lim"]
    assert set(scores["clips"]) == {"b0", "b1"}
    assert {path.parent.name for path in (results / "report" / "media").glob("*/video.mp4")} == {"b0", "b1"}
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "test clips" in page
    # An untrained vocoder only hisses.
    assert "does harm: copy synthesis of" in page
    for stage in ("dataset", "evaluation"):
        record = json.loads((results / "provenance" / f"{stage}.json").read_text(encoding="utf-8"))
        assert record["made_by"][0]["code"]["stage"] in page
    assert str(tmp_path / "mri_acoustic_model.pt") in record["inputs"]

    text = written_results(reported, tmp_path / "docs")
    assert "Written by `make results`" in text and "| test clips | 2, " in text
    assert re.search(r"^\| `evaluate_systems` \| 1 \|", text, re.MULTILINE)
    assert missing(text, ROOT / "docs" / "results.md") == []

    # The look of the page alone.
    style = reported.directory / "src" / "rtmri_speech" / "report" / "page.css"
    style.write_text(style.read_text(encoding="utf-8") + "\nh1 { color: red; }\n", encoding="utf-8")
    assert reported.pending(PAGE) == {"make_report"}

    # Another row, and what is shown of the settings.
    reported.configure(evaluation={"contexts": ["window"]})
    assert reported.pending(PAGE) == {
        "evaluate_systems",
        "record_provenance evaluation",
        "write_settings",
        "make_report",
    }


def test_a_clip_seen_in_training_is_not_scored(reported, tmp_path):
    use_own_scaler(reported, tmp_path / "mri_acoustic_model.pt")
    checkpoint = tmp_path / "mri_acoustic_model.pt"
    content = torch.load(checkpoint, weights_only=True)
    content["validation_ids"] = ["b1"]
    torch.save(content, checkpoint)
    run = reported.snakemake("結果 1/evaluation/scores.json")
    assert run.returncode != 0
    assert "leak check: training has seen b1 by acoustic" in run.stdout + run.stderr
    assert not (reported.directory / "結果 1/evaluation/scores.json").exists()


def test_a_second_experiment_uses_the_dataset_and_models_of_the_first(reported, tmp_path):
    use_own_scaler(reported, tmp_path / "mri_acoustic_model.pt")
    reported.make(PAGE, "結果 1/infer/models.json")
    reported.configure(
        results="結果 2", dataset="結果 1/dataset", acoustic={"context": "window"}, report={"compare_with": ["結果 1"]}
    )
    pending = reported.pending("compare")
    assert {job.split()[0] for job in pending} == {
        "evaluate_systems",
        "digest_models",
        "make_pack",
        "write_settings",
        "record_provenance",
        "compare_experiments",
        "compare",
    }
    reported.make("compare")
    page = (reported.directory / "結果 2" / "compare" / "index.html").read_text(encoding="utf-8")
    assert "結果 2 against 結果 1: " in page
    assert '<th scope="row">acoustic.context</th><td>sequence</td><td>window</td>' in page
    assert "<td>dataset: 結果 1/dataset</td>" in page
    assert "the same mel generator" in page and "the same vocoder" in page
    assert reported.pending("compare") == set()

    reported.configure(report={"compare_with": ["nothing"]})
    run = reported.snakemake("compare")
    log = (reported.directory / "結果 2" / "logs" / "compare_experiments.log").read_text(encoding="utf-8")
    assert run.returncode != 0 and "nothing: holds no evaluation/scores.json" in log


def test_recordings_made_by_the_workflow_are_shared_with_the_dataset(checkout):
    checkout.configure(corpus={"raw_videos": {"crop": [0, 0, 40, 40]}}, results="結果 3")
    checkout.make("dataset")
    checkout.configure(results="結果 4", dataset="結果 3/dataset")
    assert checkout.pending("dataset") == {"record_provenance dataset"}

    checkout.settings["corpus"] = {"source": "demo", "demo": {"clips": 4}}
    checkout.configure(split={"named": {}})
    plan = checkout.snakemake("-n", "dataset")
    assert "結果 3/demo/videos/000.mp4" in plan.stdout and "結果 4/demo" not in plan.stdout
