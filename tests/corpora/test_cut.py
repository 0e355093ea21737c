"""A long recording becomes a table of utterances, by its annotation, its silences or in equal stretches."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import miniatures
import numpy as np
import pytest

from rtmri_speech.corpora.cut import Cutting, cut_recordings, write_table
from rtmri_speech.dataset.clip import Clip, clips_from_directories, clips_from_table
from rtmri_speech.dataset.cutting import Utterance, equal_stretches, utterances_between_silences, with_margins
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "real_clips"

WORDS = [(0.0, 0.5, ""), (0.5, 0.8, "she"), (0.8, 1.0, "had"), (1.0, 1.2, "sp"), (1.2, 1.5, "your"), (2.2, 2.6, "suit")]


def recording(tmp_path, tiers=None):
    """Three seconds: tones from 0.5 to 1.5 and from 2.2 to 2.6 s."""
    folder = tmp_path / "録音"
    folder.mkdir()
    write_video(folder / "発話 1.mp4", miniatures.pictures(75, 32), Fraction(25))
    times = np.arange(3 * 16000) / 16000
    loud = ((times >= 0.5) & (times < 1.5)) | ((times >= 2.2) & (times < 2.6))
    noise = np.random.default_rng(0).normal(0, 0.001, len(times))
    write_wav(folder / "発話 1.wav", 0.3 * np.sin(2 * np.pi * 300 * times) * loud + noise, 16000)
    if tiers:
        (folder / "発話 1.TextGrid").write_text(miniatures.textgrid(tiers, 3), encoding="utf-8")
    return clips_from_directories(folder, folder, own_track=True)


def test_words_between_pauses_are_utterances_with_their_text(tmp_path):
    clips = cut_recordings(recording(tmp_path, {"words": WORDS}), Cutting())
    assert [(clip.text, clip.start, clip.end) for clip in clips] == [
        ("she had your", pytest.approx(0.4), pytest.approx(1.6)),
        ("suit", pytest.approx(2.1), pytest.approx(2.7)),
    ]
    assert [clip.title for clip in clips] == ["発話 1, utterance 1", "発話 1, utterance 2"]
    assert clips[0].alignment.name == "発話 1.TextGrid"


def test_a_tier_of_sentences_comes_first_and_its_words_are_the_text(tmp_path):
    sentences = [(0.4, 1.6, "S1"), (1.6, 2.0, ""), (2.0, 2.7, "S2")]
    recordings = recording(tmp_path, {"words": WORDS, "sentences": sentences, "takes": [(0.0, 3.0, "one")]})
    assert [clip.text for clip in cut_recordings(recordings, Cutting())] == ["she had your", "suit"]
    assert [clip.text for clip in cut_recordings(recordings, Cutting(tier="takes"))] == ["she had your suit"]
    with pytest.raises(UserError, match=r"no tier 'Takes' \(its tiers: words, sentences, takes\)"):
        cut_recordings(recordings, Cutting(tier="Takes"))


def test_silences_are_found_in_the_sound(tmp_path):
    clips = cut_recordings(recording(tmp_path, {"words": WORDS}), Cutting("silence"))
    assert [(clip.start, clip.end) for clip in clips] == [
        (pytest.approx(0.4, abs=0.02), pytest.approx(1.6, abs=0.02)),
        (pytest.approx(2.1, abs=0.02), pytest.approx(2.7, abs=0.02)),
    ]
    assert [clip.text for clip in clips] == ["she had your", "suit"]


def test_a_sound_that_never_pauses_is_parted_where_it_is_quietest():
    times = np.arange(6 * 1000) / 1000
    sound = np.sin(2 * np.pi * 100 * times) * np.where(abs(times - 3.5) < 0.05, 0.3, 1) * (times > 0.5)
    found = utterances_between_silences([sound], 1000, longest=4.0)
    assert [(one.start, one.end) for one in found] == [
        (pytest.approx(0.5, abs=0.02), pytest.approx(3.5, abs=0.06)),
        (pytest.approx(3.5, abs=0.06), pytest.approx(6.0, abs=0.02)),
    ]


def test_equal_stretches_fill_the_recording(tmp_path):
    clips = cut_recordings(recording(tmp_path), Cutting("equal", seconds=0.9))
    assert [(clip.start, clip.end) for clip in clips] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert equal_stretches(2.0, 30.0) == [Utterance(0.0, 2.0)]


def test_margins_reach_to_the_middle_between_two_and_not_beyond_the_end():
    spoken = [Utterance(0.05, 1.0), Utterance(1.1, 2.0), Utterance(2.0, 2.95), Utterance(3.5, 4.0)]
    assert [(one.start, one.end) for one in with_margins(spoken, 3.0)] == [
        (0.0, 1.05),
        (1.05, 2.0),
        (2.0, 3.0),
    ]


def test_the_sounds_offset_is_taken_from_times_of_the_sound(tmp_path):
    recordings = recording(tmp_path, {"words": WORDS})
    (one,) = recordings.values()
    later = Clip(one.id, one.video, one.audio, av_offset_ms=200.0)
    clips = cut_recordings({one.id: later}, Cutting())
    assert [(clip.start, clip.end) for clip in clips] == [
        (pytest.approx(0.2), pytest.approx(1.4)),
        (pytest.approx(1.9), pytest.approx(2.5)),
    ]


def test_a_written_table_is_read_as_the_clips_that_were_cut(tmp_path):
    clips = cut_recordings(recording(tmp_path, {"words": WORDS}), Cutting())
    write_table(tmp_path / "tables" / "clips.tsv", clips)
    read = clips_from_table(tmp_path / "tables" / "clips.tsv")
    assert [(c.id, c.start, c.end, c.text, c.title) for c in read.values()] == [
        (c.id, c.start, c.end, c.text, c.title) for c in clips
    ]
    assert all(clip.video.samefile(clips[0].video) and clip.audio.samefile(clips[0].audio) for clip in read.values())
    assert "\t../録音/発話 1.mp4\t" in (tmp_path / "tables" / "clips.tsv").read_text(encoding="utf-8")


def test_what_cannot_be_cut_is_refused(tmp_path):
    recordings = recording(tmp_path)
    with pytest.raises(UserError, match=r"has no annotation 発話 1.TextGrid"):
        cut_recordings(recordings, Cutting())
    (one,) = recordings.values()
    with pytest.raises(UserError, match="is a stretch of a recording already"):
        cut_recordings({one.id: Clip(one.id, one.video, one.audio, 0.0, 1.0)}, Cutting("equal"))


def run(*arguments):
    script = ROOT / "workflow" / "scripts" / "cut_recordings.py"
    return subprocess.run([sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True)


def test_the_script_writes_the_table_and_says_how_to_use_it(tmp_path):
    recording(tmp_path, {"words": WORDS})
    done = run("--videos", tmp_path / "録音", "--output", tmp_path / "clips.tsv")
    assert done.returncode == 0, done.stderr
    assert "2 utterances of 1 recordings" in done.stdout and "source: table" in done.stdout
    assert len(clips_from_table(tmp_path / "clips.tsv")) == 2
    refused = run("--videos", tmp_path / "録音", "--by", "equal", "--seconds", "0", "--output", tmp_path / "x.tsv")
    assert refused.returncode == 2 and refused.stderr.startswith("error: --seconds: is 0")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_a_real_recording_is_cut_by_its_words(tmp_path):
    video, audio = REAL / "videos" / "rainbow.mp4", REAL / "audio" / "rainbow.wav"
    clips = cut_recordings({"rainbow": Clip("rainbow", video, audio, alignment=REAL / "rainbow.TextGrid")}, Cutting())
    spoken = " ".join(clip.text for clip in clips)
    written = (REAL / "rainbow.txt").read_text(encoding="utf-8")
    plain = ["".join(filter(str.isalnum, word)).lower() for word in written.split()]
    assert [word.lower() for word in spoken.replace("'", "").split()] == plain
    assert len(clips) > 5 and all(clip.end - clip.start <= 10.3 for clip in clips)
