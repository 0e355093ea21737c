"""(d) Train HiFi-GAN with a given config in the remaining minutes; return its generator in parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gpu.subjects import ROOT, Trial
from rtmri_speech.dataset.filelists import write_filelist
from rtmri_speech.training.state import load_checkpoint, save_checkpoint
from rtmri_speech.vocoder.checkpoint import official_state
from rtmri_speech.vocoder.config import read_config
from rtmri_speech.vocoder.generator import Generator

PIECE, MOST_PIECES = 16 * 2**20, 5
SAVING = 30.0
"""Seconds reserved for the last save and for splitting the generator, at full size."""


def vocoder_run(trial: Trial, config: Path, base: Path | None) -> None:
    """Train, save the state by SIGTERM shortly before the deadline, and add the generator to the report."""
    place, names = trial.work / "vocoder", sorted(path.stem for path in trial.wavs.glob("*.wav"))
    write_filelist(trial.work / "training.txt", names[1:])
    write_filelist(trial.work / "validation.txt", names[:1])
    script = ROOT / "workflow" / "scripts" / "train.py"
    command = [sys.executable, script, "--config", config, "--checkpoint_path", place]
    command += ["--input_wavs_dir", trial.wavs, "--input_training_file", trial.work / "training.txt"]
    command += ["--input_validation_file", trial.work / "validation.txt", "--device", trial.device]
    command += ["--checkpoint_interval", 10**9, "--training_steps", 5 if trial.tiny else 10**9]
    command += ["--bf16"] if trial.device == "cuda" else []
    command += ["--base", base] if base else []
    saving = 5.0 if trial.tiny else SAVING
    log = trial.work / "training.log"
    with log.open("w") as out:
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=out, env=os.environ)
        try:
            process.wait(max(trial.left() - saving - 10, 1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(saving - 2)
            except subprocess.TimeoutExpired:
                process.kill()
                trial.report.note(f"The training did not save within {saving - 2:.0f} s and was killed.")
    states = sorted((place / "state").glob("state_*.pt"))
    if not states:
        trial.report.note(f"No step was made: {log.read_text(errors='replace')[-400:]}")
        return
    steps = int(states[-1].stem.split("_")[1])
    generator = Generator(read_config(place / "config.json"))
    generator.load_state_dict(load_checkpoint(states[-1])["payload"]["networks"]["averaged"])
    whole = trial.work / f"g_{steps:08d}"
    save_checkpoint(whole, {"generator": official_state(generator)})
    pieces = split(whole, trial.report.directory)
    trial.report.note(
        f"{config.name}: at step {steps}; "
        f"the generator is in {', '.join(pieces) or 'none: too large to return'}. "
        f"The state, {states[-1].stat().st_size / 1e6:.0f} MB, stays in --work; the same command resumes it there."
    )
    if pieces:
        trial.report.note(f"Join them: `cat {whole.name}.part* > {whole.name}`.")


def split(whole: Path, directory: Path) -> list[str]:
    """Split a file into parts of at most 16 MiB and return their names; none if there would be too many."""
    content = whole.read_bytes()
    starts = range(0, len(content), PIECE)
    if len(starts) > MOST_PIECES:
        return []
    names = [f"{whole.name}.part{number}" for number in range(len(starts))]
    for name, start in zip(names, starts, strict=True):
        (directory / name).write_bytes(content[start : start + PIECE])
    return names
