"""Provenance: hashes as by sha256sum, environments of the steps, and no information on the machine."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import torch

from rtmri_speech import provenance
from rtmri_speech.training.state import load_checkpoint

ROOT = Path(__file__).parent.parent


def sha256(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_contents_of_several_files_are_hashed_as_one_stream(tmp_path):
    files = [tmp_path / name for name in ("一 one", "two", "three")]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * ((1 << 20) + number))
    assert provenance.contents_hash(*files) == sha256(*files)
    assert provenance.clip_hashes([("a", files[:1]), ("b", files[1:])]) == {
        "a": sha256(files[0]),
        "b": sha256(*files[1:]),
    }


def test_only_changes_of_the_environment_are_recorded():
    one, other = {"packages": {"torch": "1"}}, {"packages": {"torch": "2"}}
    record = provenance.record("acoustic", {"from_step": 0, **one}, 42, {})
    assert provenance.continued(record, one, 5) == record
    record = provenance.continued(provenance.continued(record, other, 5), other, 9)
    assert record["made_by"] == [{"from_step": 0, **one}, {"from_step": 5, **other}]


def test_one_digest_stands_for_all_inputs():
    def digest(clip, file="f"):
        return provenance.inputs_digest(provenance.record("s", {}, None, {"file": file}, {"sha256": {"a": clip}}))

    assert digest("x") == digest("x")
    assert len({digest("x"), digest("y"), digest("x", "g")}) == 3


def test_packages_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGES", ["numpy", "no-such-package"])
    assert list(provenance.package_versions()) == ["Python", "numpy"]


def test_a_mel_generator_contains_its_provenance(tiny_training, tiny_processed, tmp_path):
    from rtmri_speech.acoustic.train import train

    settings = tiny_training(provenance=tmp_path / "acoustic.json")
    assert train(settings) == 0
    record = load_checkpoint(settings.out_ckpt)["provenance"]
    assert record == json.loads(settings.provenance.read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(record), "a path of this machine"

    (maker,) = record["made_by"]
    assert record["seed"] == 42
    assert maker["from_step"] == 0
    assert maker["settings"]["lr"] == 3e-3
    assert torch.__version__.startswith(maker["packages"]["torch"])
    assert record["inputs"]["scaler.json"] == sha256(tiny_processed / "scaler.json")
    assert record["clips"]["sha256"] == {
        id: sha256(*(tiny_processed / "samples" / id / f"{name}.npy" for name in ("mri", "mel_db", "mask")))
        for id in ("a0", "a1", "a2", "a3", "a4")
    }, "the clips of training and validation, and no test clip"


def test_a_training_resumed_elsewhere_records_both(tiny_training, monkeypatch):
    from rtmri_speech.acoustic.train import train

    assert train(tiny_training()) == 0
    monkeypatch.setattr(provenance, "package_versions", lambda: {"torch": "0.0"})
    settings = tiny_training(epochs=5, lr=1e-3)
    assert train(settings) == 0
    state = load_checkpoint(max(settings.state_dir.glob("state_*.pt")))
    first, second = state["payload"]["provenance"]["made_by"]
    assert (first["settings"]["lr"], second["settings"]["lr"]) == (3e-3, 1e-3)
    assert (first["from_step"], second["from_step"]) == (0, 3 * (second["from_step"] // 3))
    assert second["from_step"] > 0
    assert second["packages"] == {"torch": "0.0"} != first["packages"]


def test_a_stage_is_recorded_by_a_command(tmp_path):
    (tmp_path / "映像 1.mp4").write_bytes(b"video")
    (tmp_path / "model.pt").write_bytes(b"model")
    (tmp_path / "sources.txt").write_text(f"{tmp_path / '映像 1.mp4'}\n", encoding="utf-8")
    words = ["--stage", "dataset", "--modules", "dataset.frames", "--settings", '{"size": [32, 32]}', "--seed", "7"]
    files = ["--inputs", tmp_path / "model.pt", "--input_lists", tmp_path / "sources.txt"]
    script, output = ROOT / "workflow" / "scripts" / "record_provenance.py", tmp_path / "dataset.json"
    subprocess.run([sys.executable, script, *words, *files, "--output", output], check=True)
    record = json.loads(output.read_text(encoding="utf-8"))
    (maker,) = record["made_by"]
    assert (record["stage"], record["seed"], maker["settings"]) == ("dataset", 7, {"size": [32, 32]})
    assert {Path(name).name: hash for name, hash in record["inputs"].items()} == {
        "model.pt": hashlib.sha256(b"model").hexdigest(),
        "映像 1.mp4": hashlib.sha256(b"video").hexdigest(),
    }


def test_a_missing_input_is_reported_in_one_sentence(tmp_path):
    script = ROOT / "workflow" / "scripts" / "record_provenance.py"
    words = [
        "--stage",
        "x",
        "--modules",
        "dataset.frames",
        "--inputs",
        tmp_path / "none.pt",
        "--output",
        tmp_path / "x",
    ]
    run = subprocess.run([sys.executable, script, *words, "--output", tmp_path / "x"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "none.pt: there is no such file" in run.stderr
    assert not (tmp_path / "x").exists()
