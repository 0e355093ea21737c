"""Changed training code requires a new stage version, or confirmation that results are unchanged."""

import json

import pytest
from bless_stages import BLESSED, stages


@pytest.mark.parametrize("stage", ["acoustic", "vocoder"])
def test_changed_training_code_needs_a_decision(stage):
    blessed, now = json.loads(BLESSED.read_text(encoding="utf-8"))[stage], stages()[stage]
    assert now == blessed, (
        f"the code behind the {stage} training changed: raise {stage.upper()}_STAGE_VERSION if its results do, "
        "then run python tests/training/bless_stages.py"
    )
