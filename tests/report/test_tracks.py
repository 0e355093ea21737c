"""F0 over the mel is that of the sound, and has a height of its own."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from report_experiment import SPEC

from rtmri_speech.report.tracks import dio_f0, draw_tracks


def glide(low, high, seconds=1.5, rate=11413):
    """Pulses whose rate rises, silent in the last third."""
    f0 = np.linspace(low, high, round(seconds * rate))
    sound = np.sign(np.sin(2 * np.pi * np.cumsum(f0) / rate)) * 0.3
    sound[len(sound) * 2 // 3 :] = 0
    return sound, f0


def test_f0_is_that_of_the_sound_at_the_middle_of_each_frame():
    sound, f0 = glide(100, 160)
    found = dio_f0(sound, 11413, 420, (70, 250))
    assert len(found) == len(sound) // 420
    voiced = np.flatnonzero(found)
    assert len(voiced) > len(found) / 2
    assert found[voiced] == pytest.approx(f0[(voiced * 420) + 210], rel=0.02)
    assert not found[-len(found) // 4 :].any()


def test_the_line_rises_from_the_low_to_the_high_end_of_the_range(tmp_path):
    sound, f0 = glide(100, 160)
    draw_tracks(tmp_path / "a.svg", sound, SPEC, (100.0, 400.0))
    line = ElementTree.parse(tmp_path / "a.svg").getroot()[0].attrib["d"]
    points = np.array(re.findall(r"([\d.]+) ([\d.]+)", line), float)
    expected = 100 * (1 - np.log(f0[(points[:, 0] * 420).astype(int)] / 100) / np.log(4))
    assert points[:, 1] == pytest.approx(expected, abs=2.5)
