"""Each public set's reader finds the clips of a miniature, says who says what, and what is not as published."""

import dataclasses
from fractions import Fraction

import miniatures
import pytest

from rtmri_speech.corpora import artspeech, atr503, rtmridb, usc75, usc_lss, usc_timit
from rtmri_speech.corpora.configured import SETS, read_corpus, set_notes
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Corpus, Demo


def note(reading, words):
    return next((sentence for sentence in reading.notes if words in sentence), None)


def test_usc75_gives_each_task_with_its_text_repetition_and_alignment(tmp_path):
    folder = miniatures.usc75(tmp_path)
    reading = usc75.read(folder, tmp_path / "annot16")
    assert len(reading.clips) == 12
    clip = reading.clips["sub001_01_vcv1_r2"]
    assert clip.video.name == "sub001_2drt_01_vcv1_r2_video.mp4" and clip.audio.name.endswith("_r2_audio.wav")
    assert (clip.speaker, clip.text, clip.repetition, clip.av_offset_ms) == ("sub001", "apa ata aka", 2, 80.0)
    assert clip.alignment.name == "sub001_01_vcv1_r2_alignment.textgrid"
    assert reading.clips["sub002_05_shibboleth_r1"].audio is None
    assert reading.clips["sub002_05_shibboleth_r1"].text == "She had your dark suit."
    assert reading.clips["sub003_12_picture1"].text is None and reading.clips["sub003_12_picture1"].alignment is None
    assert note(reading, "found 12 clips, expected 2371")
    assert note(reading, "found 3 speakers, expected 74")
    assert note(reading, "found 4 clips of sub001, expected 32")


def test_usc75_takes_the_reconstructions_where_there_are_no_videos(tmp_path):
    folder = miniatures.usc75(tmp_path)
    recon = folder / "sub001" / "2drt" / "recon"
    recon.mkdir()
    (recon / "sub001_2drt_01_vcv1_r1_recon.h5").write_bytes(b"")
    for video in folder.rglob("*_video.mp4"):
        video.unlink()
    clip = usc75.read(folder).clips["sub001_01_vcv1_r1"]
    assert clip.video.suffix == ".h5" and float(clip.frame_rate) == pytest.approx(83.278, abs=1e-3)


def test_usc_timit_gives_a_clip_a_sentence(tmp_path):
    reading = usc_timit.read(miniatures.usc_timit(tmp_path))
    assert [id for id in reading.clips if id.startswith("f1")] == [f"f1_{number:03d}" for number in range(1, 11)]
    assert [id for id in reading.clips if id.startswith("m2")] == [*(f"m2_{n:03d}" for n in range(1, 6)), "m2_006_010"]
    clip = reading.clips["f1_007"]
    assert (clip.speaker, clip.text, clip.title) == (
        "F1",
        "sentence 7, said",
        "usctimit_mri_f1_006_010, sentence 7",
    )
    # A tenth of a second more at each side, at most to the middle between two sentences.
    assert (clip.start, clip.end) == pytest.approx((0.4, 0.8))
    assert clip.audio.name == "usctimit_mri_f1_006_010.wav" and clip.alignment.suffix == ".trans"
    assert reading.clips["m2_003"].text == "sentence 3, said"
    assert note(reading, "found 2 speakers, expected 10") and note(reading, "found 2 files, expected 92")
    assert note(reading, "1 left out, whose names are not usctimit_mri_f1_001_005.avi (notes_f1.avi)")
    assert note(reading, "1 files have no transcript")


def test_usc_timit_refuses_a_sentence_without_duration(tmp_path):
    root = miniatures.usc_timit(tmp_path)
    (path,) = root.rglob("*.TextGrid")
    rows = [(0.1, 0.3, "one"), (0.4, 0.6, "two"), (0.7, 0.9, "three"), (1.0, 1.5, "four"), (1.5, 1.5, "five")]
    path.write_text(miniatures.textgrid({"Sentences": rows}, 2.2), encoding="utf-8")
    with pytest.raises(UserError, match=r"\.TextGrid: its sentence 5 begins at 1\.5 s and ends at 1\.5 s"):
        usc_timit.read(root)


def test_usc_lss_gives_its_utterances_with_the_phones_it_can_read(tmp_path):
    reading = usc_lss.read(miniatures.usc_lss(tmp_path))
    assert len(reading.clips) == 6
    assert reading.clips["usc_s1_01_2"].text == "word1" and reading.clips["usc_s1_01_2"].speaker == "s1"
    assert reading.clips["usc_s1_01_1"].alignment is None
    assert note(reading, "1 left out, which hold no phones with start and end (usc_s1_01_1.json)")
    assert note(reading, "found 6 utterances, expected 684")


def test_usc_lss_falls_back_to_whole_sessions(tmp_path):
    (tmp_path / "articulators").mkdir()
    (tmp_path / "articulators" / "usc_s1_07_mview.mat").write_bytes(b"")
    reading = usc_lss.read(tmp_path)
    clip = reading.clips["usc_s1_07"]
    assert clip.audio == clip.video and clip.frame_rate == 99
    assert note(reading, "found no video") and note(reading, "found 1 sessions, expected 71")


def test_atr503_pairs_pictures_and_sound(tmp_path):
    reading = atr503.read(miniatures.atr503(tmp_path))
    assert list(reading.clips) == [f"a{number:02d}" for number in range(1, 6)]
    assert (
        reading.clips["a01"].frame_rate == pytest.approx(20000 / 736) and reading.clips["a01"].audio.name == "a01.WAV"
    )
    assert note(reading, "1 left out, which have pictures or sound, and not both (a06)")
    assert note(reading, "found 5 sentences of set a, expected 50") and note(reading, "found 5 sentences, expected 503")


def test_rtmridb_gives_its_rows(tmp_path):
    reading = rtmridb.read(miniatures.rtmridb(tmp_path))
    assert len(reading.clips) == 12
    twice = [clip for clip in reading.clips.values() if clip.speaker == "s2" and clip.text == "あさ"]
    assert [(clip.start, clip.end, clip.repetition) for clip in twice] == [(0.1, 0.5, 1), (1.1, 1.5, 2)]
    assert twice[0].title == "s2_発話_5" and twice[0].video.name == "s2_発話.mp4"
    assert set(reading.rates.values()) == {Fraction(27)}
    assert note(reading, "rows without a start and an end") and note(reading, "that are not there (absent.mp4)")


def test_artspeech_gives_the_sentences_in_the_time_of_the_picture(tmp_path):
    reading = artspeech.read(miniatures.artspeech(tmp_path))
    assert list(reading.clips) == ["1612_S1_001", "1612_S1_002", "1612_S1_003", "1635_S10_001", "1635_S10_002",
                                   "1635_S10_003", "1635_S11"]  # fmt: skip
    clip = reading.clips["1612_S1_002"]
    assert (clip.text, clip.speaker, clip.av_offset_ms, clip.frame_rate) == ("bon jour", "1612", -40.0, 50)
    assert reading.clips["1612_S1_001"].text == "été"
    # 0.5 to 0.9 s of the sound, two frames later in the picture, and half of what lies between two sentences.
    assert (clip.start, clip.end) == pytest.approx((0.49, 0.99))
    assert note(reading, "1 left out, sentences after the last frame (1.94 s)")
    assert note(reading, "1 left out, sessions without a wav (S12)")
    assert note(reading, "1 sessions have no TextGrid of sentences")


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_a_source_of_the_configuration(tmp_path, name):
    settings = Corpus(source=name, directory=miniatures.SETS[name](tmp_path))
    reading = read_corpus(settings, tmp_path / "results")
    assert reading.clips and list(reading.clips) == sorted(reading.clips)
    # The miniatures have the sizes and rates of the sets.
    assert set_notes(reading, name) == reading.notes
    one = next(iter(reading.clips))
    assert one not in read_corpus(dataclasses.replace(settings, exclude=(one,)), tmp_path / "results").clips


def test_a_video_of_another_size_or_rate_than_published_is_told(tmp_path):
    folder = miniatures.rtmridb(tmp_path)
    video = next(folder.rglob("*.mp4"))
    miniatures.write_video(video, miniatures.pictures(60, 64), Fraction(15))
    notes = set_notes(rtmridb.read(folder), "rtmridb")
    assert any("found 64x64 at 15.000 frames/s, expected 64x64 at 27.000 frames/s" in sentence for sentence in notes)


@pytest.mark.parametrize("name", SETS)
def test_a_directory_that_holds_nothing_of_a_set_is_refused(tmp_path, name):
    for directory, fault in ((tmp_path / "absent", "there is no such directory"), (tmp_path, "holds no ")):
        with pytest.raises(UserError, match=fault):
            read_corpus(Corpus(source=name, directory=directory), tmp_path)


def test_a_database_of_another_form_is_refused(tmp_path):
    (tmp_path / "rtMRIDB.sqlite3").write_bytes(b"no database, but long enough to be looked at " * 40)
    with pytest.raises(UserError, match="cannot be read as a database"):
        rtmridb.read(tmp_path)
    with miniatures.sqlite3.connect(tmp_path / "other.sqlite3") as database:
        database.execute("CREATE TABLE rtmri (id, file)")
    database.close()
    (tmp_path / "other.sqlite3").replace(tmp_path / "rtMRIDB.sqlite3")
    with pytest.raises(UserError, match="lacks start, end, text"):
        rtmridb.read(tmp_path)


def test_excluded_clips_are_left_out_and_unknown_ones_refused(tmp_path):
    settings = Corpus(source="demo", demo=Demo(clips=3), exclude=("001",))
    assert list(read_corpus(settings, tmp_path).clips) == ["000", "002"]
    with pytest.raises(UserError, match="'009'"):
        read_corpus(dataclasses.replace(settings, exclude=("009",)), tmp_path)


def test_ids_that_differ_in_case_alone_are_refused(tmp_path):
    table = tmp_path / "clips.tsv"
    table.write_text("id\tvideo\na1\tv.mp4\nA1\tw.mp4\n")
    with pytest.raises(UserError, match="has the id a1, which differs from A1 in case alone"):
        read_corpus(Corpus(source="table", table=table), tmp_path)


def test_the_configured_rate_is_that_of_frames_without_one(tmp_path):
    table = tmp_path / "clips.tsv"
    table.write_text("id\tvideo\tframe_rate\na\tv.npy\t\nb\tv.npy\t50\nc\tv.mp4\t\n")
    clips = read_corpus(Corpus(source="table", table=table, frame_rate=83.278), tmp_path).clips
    assert [clips[id].frame_rate for id in "abc"] == [83.278, 50, None]
