from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.atomic import save_json, save_npy
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec

ROOT = Path(__file__).parents[2]


SCRIPT = ROOT / "workflow" / "scripts" / "audit_sync.py"


def audited(processed_dir, output, *arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--processed_dir", str(processed_dir), "--output", str(output), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("named", [["999"], ["a1", "../a1"], ["a1", ""]])
def test_missing_clips_are_refused_by_name(tiny_processed, tmp_path, named):
    done = audited(tiny_processed, tmp_path / "sync.json", "--clips", *named)
    sentence = f"holds no clip {named[-1]!r}; name some of its 6 clips, such as a0"
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "sync.json").exists()


def test_the_command_names_the_delayed_clip(tmp_path):
    spec = MelSpec.preset("hifigan")
    rate, hop, frames = spec.sampling_rate, spec.hop_length, 110
    save_json(tmp_path / "meta.json", {"mel": spec.to_dict()})
    for clip in range(6):
        rng = np.random.default_rng(clip)
        count = frames * hop + rate
        spectrum = np.fft.rfft(rng.standard_normal(count))
        movement = np.fft.irfft(spectrum * (np.fft.rfftfreq(count, 1 / rate) < 4), count)
        movement /= movement.std()
        sound = 0.02 * np.exp(movement) * rng.standard_normal(count)
        start = rate // 2 - (round(0.08 * rate) if clip == 2 else 0)
        write_wav(tmp_path / "wavs" / f"c{clip}.wav", sound[start : start + frames * hop], rate)
        brightness = 120 + 30 * movement[rate // 2 + np.arange(frames) * hop + hop // 2]
        pictures = np.zeros((frames, 32, 32))
        pictures[:, 8:16] = brightness[:, None, None]
        sample = tmp_path / "samples" / f"c{clip}"
        save_npy(sample / "mri.npy", np.clip(pictures + rng.normal(0, 2, pictures.shape), 0, 255).astype(np.uint8))
        save_npy(sample / "mel_db.npy", np.zeros((frames, 64), np.float32))
        save_npy(sample / "mask.npy", np.ones(frames, np.float32))
    (tmp_path / "wavs" / "c5.wav").unlink()
    done = audited(tmp_path, tmp_path / "sync.json")
    assert done.returncode == 0, done.stderr
    audit = json.loads((tmp_path / "sync.json").read_text(encoding="utf-8"))
    assert [clip for clip, found in audit["clips"].items() if found["flagged"]] == ["c2"]
    assert abs(audit["clips"]["c2"]["offset_ms"] - 80) < 20
    assert list(audit["left_out"]) == ["c5"]
    assert "1 of 5 clips out of sync" in done.stdout
