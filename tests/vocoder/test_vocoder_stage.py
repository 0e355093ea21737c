"""Finished vocoders are made again when the code of their training changes what it yields, and not for less.

The training carries a version instead of a hash of its code (hours are at stake). This test fails when the code has
changed: raise VOCODER_STAGE_VERSION if a training now yields something else, and in either case bless the code with
``python tests/vocoder/test_vocoder_stage.py``.
"""

import json
from pathlib import Path

from rtmri_speech.staleness import code_hash
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION

BLESSED = Path(__file__).with_name("stage.json")


def current():
    return {"version": VOCODER_STAGE_VERSION, "code": code_hash("vocoder.train")}


def test_the_code_of_the_training_is_blessed():
    assert current() == json.loads(BLESSED.read_text()), __doc__


if __name__ == "__main__":
    BLESSED.write_text(json.dumps(current(), indent=2) + "\n")
