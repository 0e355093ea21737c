"""The complete tiny workflow, killed five times at random moments, gives the bytes of an undisturbed run."""

import os
import random

import pytest
from torment_workflow import Torment


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="processes are found by /proc")
def test_five_kills_at_random_moments_do_not_change_the_result(tmp_path, capsys):
    seed = 20
    torment = Torment(tmp_path, random.Random(seed))
    torment.run(kills=5, longest=0.2)
    assert torment.killed.total() >= 5
    assert torment.finished >= 1
    with capsys.disabled():
        print(f"\nseed {seed}: {torment.told()}")
