"""The pack in models/demo_pack, as `make listen` uses it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import soundfile

from rtmri_speech.evaluation.metrics import estoi

ROOT = Path(__file__).parents[2]


def commands(tmp_path):
    """The commands of `make listen`, with outputs in ``tmp_path``."""
    recipe = re.search(r"^listen: environment\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    recipe = recipe.replace("\\\n", " ").replace("$(LISTEN)", str(tmp_path))
    return [shlex.split(line.split(maxsplit=1)[1]) for line in recipe.splitlines() if "$(BIN)/python" in line]


def test_the_demo_is_heard_without_training(tmp_path):
    found = commands(tmp_path)
    assert len(found) == 2
    for words in found:
        subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    (generated, rate), (original, _) = (
        soundfile.read(tmp_path / f"000_{name}.wav") for name in ("generated", "original")
    )
    # It was 0.68; the speech of another sentence had -0.07.
    assert estoi(original, generated, rate) > 0.4
