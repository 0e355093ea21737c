"""Record the current training code as that of the current stage versions.

    python tests/training/bless_stages.py

Snakemake trains anew when a stage version is raised, and only then: raise ACOUSTIC_STAGE_VERSION or
VOCODER_STAGE_VERSION when a change alters results, leave it when it does not; then run this.
"""

import json
from pathlib import Path

from rtmri_speech.acoustic import ACOUSTIC_STAGE_VERSION
from rtmri_speech.code_version import code_hash
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION

BLESSED = Path(__file__).with_name("blessed_stages.json")


def stages() -> dict[str, dict]:
    """Version and code hash of each training, as they are now."""
    return {
        "acoustic": {"version": ACOUSTIC_STAGE_VERSION, "code": code_hash("acoustic.train")},
        "vocoder": {"version": VOCODER_STAGE_VERSION, "code": code_hash("vocoder.train")},
    }


if __name__ == "__main__":
    BLESSED.write_text(json.dumps(stages(), indent=2) + "\n", encoding="utf-8")
