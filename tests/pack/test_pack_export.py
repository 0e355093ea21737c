"""What is written into a pack, what is refused, and that the same models give the same bytes."""

import copy
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from torch import nn

from rtmri_speech.acoustic.model import AcousticModel, FrameEncoder
from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.errors import UserError
from rtmri_speech.pack import export
from rtmri_speech.pack.export import acoustic_graphs, make_pack
from rtmri_speech.pack.format import add_scores, read_about
from rtmri_speech.settings.use import Pack

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "pack_model.py"
TERMS = Pack("MIT", "nobody: random weights", "none is needed")


def test_the_same_models_give_the_same_bytes_from_another_directory_and_process(tiny_pack, tiny_checkpoints, tmp_path):
    folder = tmp_path / "別の場所"
    folder.mkdir()
    names = [Path(shutil.copy(file, folder)).name for file in tiny_checkpoints]
    shutil.copy(tiny_checkpoints[1].parent / "config.json", folder)
    terms = ["--licence", TERMS.licence, "--speaker", TERMS.speaker, "--consent", TERMS.consent, "--context", "window"]
    words = ["--mri-checkpoint", names[0], "--hifigan-checkpoint", names[1], *terms, "--output", "again.pack"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "TZ": "Asia/Tokyo"},
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert (folder / "again.pack").read_bytes() == tiny_pack.read_bytes()


def test_no_path_date_or_clip_is_in_a_pack(tiny_pack, tiny_checkpoints):
    content = tiny_pack.read_bytes()
    for told in (str(tiny_checkpoints[0].parent), str(Path.home()), ".py", "stack_trace", "mri_acoustic", "a0"):
        assert told.encode() not in content
    with zipfile.ZipFile(tiny_pack) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_pack_says_what_it_was_made_from(tiny_checkpoints, tmp_path):
    """Whose training tells where it comes from is named without files and clips."""
    mri, vocoder = tiny_checkpoints
    record = {
        "stage": "acoustic",
        "made_by": [
            {
                "code": {"version": "1", "stage": "abc", "commit": None},
                "packages": {"torch": "2"},
                "settings": {"f": "/home/x"},
            }
        ],
        "seed": 7,
        "inputs": {"scaler.json": "aa"},
        "clips": {"files": ["samples/<id>/mri.npy"], "sha256": {"patient_000": "bb"}},
    }
    told = tmp_path / "told.pt"
    torch.save({**torch.load(mri, weights_only=False), "provenance": record}, told)
    make_pack(tmp_path / "a.pack", told, vocoder, TERMS)
    about = read_about(tmp_path / "a.pack")
    assert about.trainings["vocoder"] is None
    assert about.trainings["mel generator"]["seed"] == 7
    assert about.trainings["mel generator"]["made_by"][0]["code"]["stage"] == "abc"
    written = json.dumps(dataclasses.asdict(about))
    assert "/home/x" not in written and "patient_000" not in written
    assert (about.speaker, about.frame_rate, about.context) == (TERMS.speaker, "11413/420", "sequence")


def refused(path, checkpoints, match):
    with pytest.raises(UserError, match=match) as refusal:
        make_pack(path, *checkpoints, TERMS)
    assert "\n" not in str(refusal.value)
    assert not path.exists() and not list(path.parent.glob(".*pack"))


def test_an_unexportable_backbone_is_refused_in_one_sentence(tiny_checkpoints, tmp_path, monkeypatch):
    def forward(self, frames, recomputing=None):
        maps = self.backbone(frames.expand(-1, 3, -1, -1))[-1]
        # What it does depends on the numbers it is given.
        return maps * 2 if maps.mean() > 0 else maps

    monkeypatch.setattr(FrameEncoder, "forward", forward)
    refused(tmp_path / "a.pack", tiny_checkpoints, r"backbone test_efficientnet: cannot be written as an ONNX graph")


def test_a_model_with_unsupported_parts_is_refused_by_name(tiny_checkpoints):
    acoustic = load_acoustic_model(tiny_checkpoints[0], "cpu")

    def changed(change):
        model = copy.deepcopy(acoustic.model)
        change(model)
        return dataclasses.replace(acoustic, model=model)

    def another_layer(model):
        model.rnn.lstm = nn.LSTM(model.cnn.channels, 8, 2, batch_first=True, bidirectional=True)

    def another_setting(model):
        network = dataclasses.make_dataclass("Network", [("voices", int, 3)], bases=(type(model.network),), frozen=True)
        model.network = network(**dataclasses.asdict(model.network), voices=4)

    cases = [
        (lambda model: model.add_module("voicing", nn.Linear(8, 1)), "has the part voicing"),
        (lambda model: model.rnn.register_parameter("gain", nn.Parameter(torch.ones(1))), r"has rnn\.gain"),
        (another_layer, r"has rnn\.lstm\.bias_hh_l1"),
        (another_setting, "has the setting voices"),
    ]
    for change, told in cases:
        with pytest.raises(UserError, match=rf"mri_acoustic_model\.pt: {told}, .*; use torch"):
            acoustic_graphs(changed(change))


def test_a_difference_in_decoding_is_found_by_the_comparison(tiny_checkpoints, tmp_path, monkeypatch):
    outputs = AcousticModel.outputs
    monkeypatch.setattr(AcousticModel, "outputs", lambda self, features: 1.01 * outputs(self, features))
    refused(tmp_path / "a.pack", tiny_checkpoints, "its mels differ from torch's by")


def test_a_difference_in_sound_is_found_by_the_comparison(tiny_checkpoints, tmp_path, monkeypatch):
    other = export.load_vocoder(tiny_models.write_vocoder(tmp_path / "other" / "g_00000001", seed=5))
    graph = export.streamed_graph(other)
    monkeypatch.setattr(export, "streamed_graph", lambda vocoder: graph)
    refused(tmp_path / "a.pack", tiny_checkpoints, "its sound differs from torch's")


def test_models_with_different_mels_are_refused(tiny_checkpoints, tmp_path):
    spec = dataclasses.replace(tiny_models.SPEC, fmax=5000.0)
    vocoder = tiny_models.write_vocoder(tmp_path / "g_00000001", spec=spec)
    refused(tmp_path / "a.pack", (tiny_checkpoints[0], vocoder), r"fmax 5000\.0 against 5706\.5")


def command(*words):
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)


SUMMARY = {"mcd_db": {"mean": 5.0, "low": 4.0, "high": 6.0, "n": 2}}
OF_A_CLIP = {"patient_000": {"mcd_db": 5.0}}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"summary": SUMMARY, "clips": OF_A_CLIP}, {"Generated": SUMMARY}),
        (
            {"rows": {"window": {"title": "Generated, by windows", "summary": SUMMARY, "clips": OF_A_CLIP}}},
            {"Generated, by windows": SUMMARY},
        ),
    ],
    ids=["evaluate.py", "workflow"],
)
def test_scores_are_added_to_a_copy(tiny_pack, tmp_path, scores, expected):
    (tmp_path / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    before = tiny_pack.read_bytes()
    done = command("--pack", tiny_pack, "--scores", tmp_path / "scores.json", "--output", tmp_path / "shared.pack")
    assert done.returncode == 0, done.stderr
    assert tiny_pack.read_bytes() == before
    about, shared = read_about(tiny_pack), read_about(tmp_path / "shared.pack")
    assert shared.scores == expected
    assert dataclasses.replace(shared, scores=None) == about


@pytest.mark.parametrize("content", ["[1]", "{}", '{"rows": [1]}', '{"rows": {"a": {"title": 1}}}'])
def test_other_json_is_no_scores(tiny_pack, tmp_path, content):
    (tmp_path / "scores.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"scores\.json: holds no summary of scores"):
        add_scores(tiny_pack, tmp_path / "scores.json", tmp_path / "b.pack")


def test_speaker_and_consent_are_required(tiny_checkpoints, tmp_path):
    words = ["--mri-checkpoint", tiny_checkpoints[0], "--hifigan-checkpoint", tiny_checkpoints[1], "--licence", "MIT"]
    done = command(*words, "--speaker", "nobody", "--output", tmp_path / "a.pack")
    assert done.returncode == 2
    assert "a new pack needs --consent" in done.stderr
    assert not list(tmp_path.iterdir())


def test_terms_that_are_too_long_are_refused(tiny_checkpoints, tmp_path):
    with pytest.raises(UserError, match="licence: has 3000 letters"):
        make_pack(tmp_path / "a.pack", *tiny_checkpoints, Pack("x" * 3000, "nobody", "none"))


def test_frame_normalisation_in_the_graph_equals_normalise_frames():
    """Against `normalise_frames`, on a frame of one value too."""
    from rtmri_speech.signal.video import normalise_frames

    frames = np.random.default_rng(0).integers(0, 256, (4, 6, 5), dtype=np.uint8)
    frames[1] = 9

    class Pixels(nn.Module):
        def features(self, picture):
            return picture[:, 0]

    for method in ("unit", "frame"):
        made = export._FrameFeatures(Pixels(), method)(torch.from_numpy(frames))
        np.testing.assert_allclose(made.numpy(), normalise_frames(frames, method), rtol=1e-6)
