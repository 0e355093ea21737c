"""The comparison of experiments: which clips and measures are compared, what is said of them, and the page."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_page import Elements

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import paired_differences
from rtmri_speech.report.compare import write_comparison
from rtmri_speech.report.experiments import (
    different_settings,
    incomparable,
    open_finished,
    shared_clips,
    used_of,
)

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "compare_experiments.py"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def results(experiment, tmp_path):
    """Two results directories, the second over the first's dataset, and worse in ESTOI by .3 in each clip."""
    first, second = tmp_path / "results", tmp_path / "実験 b"
    shutil.copytree(experiment.processed_dir, first / "dataset")
    for directory in (first, second):
        shutil.copytree(experiment.evaluation, directory / "evaluation")
        write(directory / "provenance" / "acoustic.json", {"stage": "acoustic", "made_by": [{}], "inputs": {}})
    scores = json.loads((first / "evaluation" / "scores.json").read_text())
    for directory, worse, estoi in ((first, 0, 0.7), (second, 0.3, 0.7)):
        changed = copy.deepcopy(scores)
        for number, clip in enumerate(changed["rows"]["sequence"]["clips"].values()):
            clip["estoi"] = estoi - worse - 0.01 * number
        write(directory / "evaluation" / "scores.json", changed)
    settings = {"results": "results", "dataset": None, "acoustic": {"dropout": 0.1, "seed": 42}}
    write(first / "settings.json", settings)
    write(
        second / "settings.json",
        {"results": "実験 b", "dataset": "results/dataset", "acoustic": {"dropout": 0.9, "seed": 42}},
    )
    return first, second


@pytest.fixture
def opened(results):
    return open_finished(results)


def test_the_page_says_what_differs_and_plays_both(opened, tmp_path, experiment):
    output = tmp_path / "compare"
    told = write_comparison(output, opened)
    names = [one.name for one in opened]
    assert f"{names[1]} against {names[0]}: worse in ESTOI" in told
    assert "3 clips are few" in told
    html = (output / "index.html").read_text(encoding="utf-8")
    data = json.loads(Elements(html).data)
    assert [source["title"] for source in data["sources"]][:3] == ["Recording", *names]
    assert (data["baseline"], data["configured"]) == tuple(source["name"] for source in data["sources"][1:3])
    for clip in data["clips"]:
        media = output / "media" / clip["id"]
        for source, one in zip(data["sources"][1:3], opened, strict=False):
            kept = one.evaluation / "sounds" / "sequence" / f"{clip['id']}.wav"
            assert (media / f"{source['name']}.wav").read_bytes() == kept.read_bytes()
        first, second = (clip["scores"][name][0] for name in (data["baseline"], data["configured"]))
        assert second - first == pytest.approx(-0.3)
    assert '<th scope="row">acoustic.dropout</th><td>0.1</td><td>0.9</td>' in html
    assert '<th scope="row">acoustic.seed</th>' not in html
    assert f"<td>{names[0]}</td><td>dataset: results/dataset</td>" in html
    assert "Copy synthesis is the same in both" in html


def test_the_differences_are_those_of_the_scores(opened, tmp_path):
    write_comparison(tmp_path / "compare", opened)
    html = (tmp_path / "compare" / "index.html").read_text(encoding="utf-8")
    first, second = (one.scores["rows"]["sequence"]["clips"] for one in opened)
    found = paired_differences(second, first, ["estoi", "mel_mse"])["estoi"]
    assert found["mean"] == pytest.approx(-0.3)
    assert '<th scope="row">ESTOI</th><td>−0.3000</td><td>−0.3000 to −0.3000</td><td>± 0.01</td><td>3</td>' in html


def test_only_clips_with_the_same_recording_are_compared(results, opened):
    second = opened[1]
    assert shared_clips(opened) == (["a2", "a3", "a4"], [])
    shutil.copytree(results[0] / "dataset", results[1] / "dataset")
    settings = {**second.results.settings, "dataset": None}
    write(results[1] / "settings.json", settings)
    # The same content elsewhere.
    assert shared_clips(open_finished(results))[0] == ["a2", "a3", "a4"]
    (results[1] / "dataset" / "wavs" / "a3.wav").write_bytes(b"another recording")
    ids, notes = shared_clips(open_finished(results))
    assert ids == ["a2", "a4"]
    assert notes == [f"Not compared, another recording in {second.name}: 1 clips (a3)."]
    (results[1] / "dataset" / "wavs" / "a4.wav").write_bytes(b"another recording")
    with pytest.raises(UserError, match=r"shares 1 scored clips with .*results, and a comparison needs two"):
        shared_clips(open_finished(results))


def test_clips_of_one_experiment_are_named(results, opened):
    scores = json.loads((results[1] / "evaluation" / "scores.json").read_text())
    del scores["clips"]["a4"]
    write(results[1] / "evaluation" / "scores.json", scores)
    ids, notes = shared_clips(open_finished(results))
    assert ids == ["a2", "a3"]
    assert notes == [f"Not compared, only in {opened[0].name}: 1 clips (a4)."]


def test_measures_with_another_basis_are_not_compared(results, opened, tmp_path):
    assert incomparable(opened) == {}
    scores = json.loads((results[1] / "evaluation" / "scores.json").read_text())
    scores["settings"]["f0_range_hz"] = [50, 300]
    write(results[1] / "evaluation" / "scores.json", scores)
    shutil.copytree(results[0] / "dataset", results[1] / "dataset")
    (results[1] / "dataset" / "scaler.json").write_text("{}")
    write(results[1] / "settings.json", {**opened[1].results.settings, "dataset": None})
    again = open_finished(results)
    assert set(incomparable(again)) == {"mel_", "f0_", "vuv_"}
    told = write_comparison(tmp_path / "compare", again)
    assert "Mel MSE: the mels are standardised by other training clips" in told
    data = json.loads(Elements((tmp_path / "compare" / "index.html").read_text(encoding="utf-8")).data)
    assert [measure["name"] for measure in data["measures"]] == ["estoi", "lag_ms"]


def test_recorded_settings_count_where_the_configuration_does_not_tell(results, opened):
    assert different_settings(opened) == [
        ["dataset", "null", "results/dataset"],
        ["acoustic.dropout", "0.1", "0.9"],
    ]
    for directory, dropout, lr in zip(results, (0.1, 0.9), (0.004, 0.001), strict=True):
        made = {"settings": {"dropout": dropout, "batches": {"lr": lr}}}
        write(directory / "provenance" / "acoustic.json", {"stage": "acoustic", "made_by": [made], "inputs": {}})
    # The dropout is told once; the learning rate was changed after the training.
    assert different_settings(open_finished(results))[2:] == [["acoustic, as recorded: batches.lr", "0.004", "0.001"]]


def test_equal_models_are_named(results, opened):
    assert used_of(opened[1], opened[0]) == ["dataset: results/dataset"]
    assert used_of(opened[0], opened[1]) == []
    for directory in results:
        models = {"context": "window", "hifigan_checkpoint": {"file": "g_00000001", "sha256": "ab" * 32}}
        write(directory / "infer" / "models.json", models)
    found = used_of(*open_finished(results[::-1]))
    assert found == ["dataset: results/dataset", "the same vocoder (SHA-256 abababababab)"]


def test_another_vocoder_is_compared_by_copy_synthesis(results, tmp_path):
    scores = json.loads((results[1] / "evaluation" / "scores.json").read_text())
    for clip in scores["rows"]["ceiling"]["clips"].values():
        clip["mel_mse"] += 1
    write(results[1] / "evaluation" / "scores.json", scores)
    opened = open_finished(results)
    write_comparison(tmp_path / "compare", opened)
    html = (tmp_path / "compare" / "index.html").read_text(encoding="utf-8")
    data = json.loads(Elements(html).data)
    titles = [source["title"] for source in data["sources"]]
    assert titles[3:5] == [f"{one.name}: copy synthesis" for one in opened]
    assert "Copy synthesis alone" in html


def test_a_directory_without_scores_is_refused(results, tmp_path):
    run = subprocess.run(
        [sys.executable, SCRIPT, results[0], tmp_path / "nothing"], capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 2
    assert "nothing: holds no evaluation/scores.json; score its test clips first" in run.stderr
    with pytest.raises(UserError, match=r"further/scores\.json; score the further clips first"):
        open_finished(results[:1], "further")


CHANGES = "return [...document.querySelectorAll('#clips .value')].map((value) => value.textContent)"


@pytest.mark.slow
def test_clips_are_sorted_by_the_change_in_a_browser(browser, opened, tmp_path):
    write_comparison(tmp_path / "compare", opened)
    browser.get_log("browser")
    browser.get((tmp_path / "compare" / "index.html").as_uri())
    assert browser.find_element("id", "direction").text == "worsened first"
    assert browser.execute_script(CHANGES) == ["−0.300"] * 3
    assert browser.find_element("id", "sort-label").text == "Clips by change in"
    browser.find_element("css selector", "#scores tbody tr:nth-child(2) button.hear").click()
    heard = "return document.querySelector('#sources [aria-pressed=true]').textContent"
    assert browser.execute_script(heard) == f"3{opened[1].name}"
    assert [entry["message"] for entry in browser.get_log("browser")] == []
