import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtmri_speech.demo import articulation, picture
from rtmri_speech.demo.text import PAUSE, PHONEME_SECONDS, REDUCED_VOWEL, Segment
from rtmri_speech.errors import UserError

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/make_demo_corpus.py"
VOICE = articulation.Voice(pitch=0.0, liveliness=0.0, tempo=1.0, level_db=0.0)


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "vocaltractlab_cython", None)
    articulation.engine.cache_clear()
    yield
    articulation.engine.cache_clear()


def test_a_missing_extra_is_reported_with_the_install_command(no_engine):
    with pytest.raises(UserError, match=r'in the checkout, pip install -e "\.\[demo\]"'):
        articulation.engine()


def test_without_the_extra_the_script_writes_nothing(no_engine, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--out_dir", str(tmp_path), "--jobs", "2"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def installed():
    pytest.importorskip("vocaltractlab_cython", reason="needs the extra demo")


def between_pauses(*phonemes, seconds=0.2):
    return [Segment(PAUSE, 0.15), *(Segment(phoneme, seconds) for phoneme in phonemes), Segment(PAUSE, 0.2)]


def test_the_synthesiser_moves_for_every_phoneme_used(installed):
    def motion(phoneme):
        segments = between_pauses(REDUCED_VOWEL, phoneme, REDUCED_VOWEL, seconds=0.12)
        return np.hstack(articulation._motion(segments))

    still = motion(REDUCED_VOWEL)
    for phoneme in PHONEME_SECONDS.keys() - {REDUCED_VOWEL}:
        assert np.abs(motion(phoneme) - still).max() > 0.01, phoneme


def drawn(utterance):
    """Pictures without noise or pose."""
    chinks = articulation.glottal_width(utterance.glottis)
    outlines = map(articulation.outlines, utterance.tract)
    return np.stack([picture.draw(outline, chink) for outline, chink in zip(outlines, chinks, strict=True)])


def frames_of(segments, index, frames):
    """Return whether the centre of each frame is in the middle half of a segment."""
    edges = np.cumsum([0.0] + [segment.seconds for segment in segments])
    centres = (np.arange(frames) + 0.5) * 420 / 11413
    quarter = segments[index].seconds / 4
    return (centres > edges[index] + quarter) & (centres < edges[index + 1] - quarter)


def test_lips_close_for_a_bilabial_while_the_level_drops(installed):
    segments = between_pauses("a", "b", "a")
    utterance = articulation.speak(segments, VOICE, np.random.default_rng(0))
    pictures = drawn(utterance)
    shut, open_ = frames_of(segments, 2, len(pictures)), frames_of(segments, 1, len(pictures))
    # Between the lips, some 5.5 cm in front of the origin: air while they are open, tissue while they touch.
    column, row = picture._pixels([5.9, -0.95])[0].round().astype(int)
    mouth = pictures[:, row - 2 : row + 3, column - 2 : column + 3].mean((1, 2))
    assert mouth[shut].min() > 60
    assert mouth[open_].max() < 30
    power = utterance.audio.reshape(-1, 420).std(1)
    assert power[shut].min() < 0.2 * power[open_].mean()


def test_the_larynx_rises_with_the_pitch(installed):
    segments = between_pauses("a", "a")
    low, high = -3.0, 3.0
    rows = []
    for pitch in (low, high):
        voice = articulation.Voice(pitch=pitch, liveliness=0.0, tempo=1.0, level_db=0.0)
        utterance = articulation.speak(segments, voice, np.random.default_rng(0))
        frame = len(utterance.f0) // 2
        assert utterance.f0[frame] == pytest.approx(2 ** ((80 + pitch) / 12), rel=0.01)
        rows.append(drawn(utterance)[frame])
    # The vocal folds, looked for along the airway.
    folds = rows[0][195:225, 140:185].astype(np.float32)
    found = cv2.minMaxLoc(cv2.matchTemplate(rows[1][165:250, 135:190].astype(np.float32), folds, cv2.TM_CCOEFF_NORMED))[
        3
    ]
    rise = 195 - (165 + found[1])
    assert rise == pytest.approx((high - low) * 0.075 * 256 / 18, abs=2)


def test_folds_show_while_they_vibrate(installed):
    segments = between_pauses("a", "s", "a")
    utterance = articulation.speak(segments, VOICE, np.random.default_rng(0))
    pictures = drawn(utterance)
    glottis = [articulation.outlines(state) for state in utterance.tract]
    bars = []
    for image, outline in zip(pictures, glottis, strict=True):
        middle = (outline.upper[0] + outline.lower[0]) / 2 - [0, 0.2]
        column, row = picture._pixels(middle)[0].round().astype(int)
        bars.append(image[row - 1 : row + 2, column - 3 : column + 4].mean())
    bars = np.array(bars)
    vowel, fricative = (frames_of(segments, index, len(bars)) for index in (1, 2))
    assert bars[vowel].min() > 80
    assert bars[fricative].max() < 50
    assert utterance.f0[vowel].all()
    assert not utterance.f0[fricative].any()


def test_a_lowered_velum_opens_the_nasal_tract(installed):
    segments = between_pauses("a", "n", "a")
    utterance = articulation.speak(segments, VOICE, np.random.default_rng(0))
    opening = utterance.tract[:, articulation.VELUM_OPENING]
    nasal, oral = (frames_of(segments, index, len(opening)) for index in (2, 1))
    assert opening[nasal].min() > 0.2
    assert opening[oral].max() < 0.1


def test_vowels_have_the_formants_of_their_shapes(installed):
    """First formants by linear prediction stand as in every vowel chart."""
    first = {}
    for vowel in ("i:", "a:", "u:"):
        segments = between_pauses(vowel, seconds=0.4)
        utterance = articulation.speak(segments, VOICE, np.random.default_rng(0))
        middle = len(utterance.audio) // 2
        first[vowel] = formants(utterance.audio[middle - 600 : middle + 600], 11413)
    assert first["a:"][0] > 550
    assert first["i:"][0] < 400
    assert first["u:"][0] < 450
    assert first["i:"][1] > 1700
    assert first["u:"][1] < 1200


def formants(audio, rate, order=13):
    """Frequencies of the first two resonances of an all-pole model (autocorrelation method)."""
    audio = np.diff(audio) * np.hamming(len(audio) - 1)
    lags = np.correlate(audio, audio, "full")[len(audio) - 1 :][: order + 1]
    matrix = lags[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
    poles = np.roots([1, *-np.linalg.solve(matrix, lags[1:])])
    frequency, width = np.angle(poles) * rate / (2 * np.pi), -np.log(np.abs(poles)) * rate / np.pi
    return np.sort(frequency[(frequency > 150) & (width < 400)])[:2]
