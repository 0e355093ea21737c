"""The clips of a corpus, and invalid corpora."""

import hashlib
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.dataset.clip import (
    Clip,
    clips_from_directories,
    clips_from_table,
    id_of,
    ids_pattern,
    is_id,
    require_id,
)
from rtmri_speech.dataset.corpus import normalised_clips
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError


def touch(directory, *names):
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"")
    return directory


def test_a_pair_of_directories_pairs_by_stem(tmp_path):
    videos = touch(tmp_path / "動画 of 山根", "000.mp4", "b-1.AVI", "notes.txt", ".hidden.mp4")
    audio = touch(tmp_path / "audio", "000.wav", "b-1.flac")
    clips = clips_from_directories(videos, audio)
    assert {id: (clip.video.name, clip.audio.name) for id, clip in clips.items()} == {
        "000": ("000.mp4", "000.wav"),
        "b-1": ("b-1.AVI", "b-1.flac"),
    }


def test_missing_counterparts_get_the_expected_path(tmp_path):
    clips = clips_from_directories(touch(tmp_path / "v", "a.mp4"), touch(tmp_path / "a", "b.wav"))
    assert clips["a"].audio == tmp_path / "a" / "a.wav"
    assert clips["b"].video == tmp_path / "v" / "b.mp4"


def test_without_an_audio_directory_the_videos_own_tracks_are_used(tmp_path):
    assert clips_from_directories(touch(tmp_path / "v", "a.mp4"))["a"].audio is None


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.mp4", "a.avi"], "same id as"),
        (["readme.txt"], "holds no video"),
    ],
)
def test_wrong_directories_are_refused(tmp_path, names, told):
    with pytest.raises(UserError, match=told):
        clips_from_directories(touch(tmp_path / "v", *names))


NAMES = ["山根 発話.1", "山根 発話.2", "a b", "a  b", "a.b", "été", "-a", "con", "x" * 120, "が", "a..", "a_b"]


def test_any_name_of_a_file_gives_an_id_of_its_own_and_is_the_title(tmp_path):
    clips = clips_from_directories(touch(tmp_path / "v", *(f"{name}.mp4" for name in NAMES)))
    assert len(clips) == len(NAMES)
    assert {clip.title or id for id, clip in clips.items()} == set(NAMES)
    assert all(is_id(id) for id in clips)
    # An id is what it was, whatever else is there.
    assert clips["a_b"].title is None
    digest = hashlib.sha256(b"a b").hexdigest()[:8]
    assert clips[f"a_b-{digest}"].title == "a b" and id_of("a b") == f"a_b-{digest}"


def test_both_unicode_forms_of_a_name_are_one_id(tmp_path):
    videos = touch(tmp_path / "v", unicodedata.normalize("NFD", "ばら 1.mp4"))
    audio = touch(tmp_path / "a", unicodedata.normalize("NFC", "ばら 1.wav"))
    (clip,) = clips_from_directories(videos, audio).values()
    assert clip.video.parent == videos and clip.audio.exists()


def test_an_id_made_of_a_name_that_another_file_has_is_refused(tmp_path):
    with pytest.raises(UserError, match="has the same id as"):
        clips_from_directories(touch(tmp_path / "v", "a b.mp4", f"{id_of('a b')}.mp4"))


def test_arrays_and_directories_of_pictures_are_videos_where_there_is_no_other(tmp_path):
    videos = touch(tmp_path / "v", "b.npy", "c.h5")
    touch(videos / "発話 1", "1.png")
    touch(videos / "empty")
    clips = clips_from_directories(videos)
    assert {clip.title or id for id, clip in clips.items()} == {"b", "c", "発話 1"}
    touch(videos, "d.mp4")
    assert list(clips_from_directories(videos)) == ["d"]


def test_a_table_says_who_says_what_and_how_often(tmp_path):
    table = write_table(
        tmp_path,
        "id\tvideo\tframe_rate\ttitle\tspeaker\ttext\trepetition\talignment\n"
        "a\tv.npy\t20000/736\tA 一\tF1\tshe had, your\t2\ta.TextGrid\n",
    )
    clip = clips_from_table(table)["a"]
    assert clip.frame_rate == 20000 / 736
    assert (clip.title, clip.speaker, clip.text, clip.repetition) == ("A 一", "F1", "she had, your", 2)
    assert clip.alignment == tmp_path / "a.TextGrid"


def write_table(tmp_path, text):
    path = tmp_path / "clips.tsv"
    path.write_bytes(text.encode())
    return path


def test_a_table_gives_start_end_and_offset(tmp_path):
    table = write_table(
        tmp_path,
        "\ufeffid\tvideo\taudio\tstart\tend\tav_offset_ms\r\n"
        "x1\t映像/長い 名前.mp4\t\t1.5\t4\t-80\r\n"
        "x2\tv.avi\ta.wav\t\t\t\r\n",
    )
    clips = clips_from_table(table)
    assert clips["x1"].video == tmp_path / "映像" / "長い 名前.mp4"
    assert (clips["x1"].audio, clips["x1"].start, clips["x1"].end, clips["x1"].av_offset_ms) == (None, 1.5, 4.0, -80.0)
    assert (clips["x2"].audio, clips["x2"].start, clips["x2"].av_offset_ms) == (tmp_path / "a.wav", None, 0.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id\taudio\n1\ta.wav\n", "no column 'video'"),
        ("id\tvideo\tspeed\n1\tv.mp4\t2\n", "unknown column 'speed'"),
        ("id\tvideo\n1\tv.mp4\n1\tw.mp4\n", "line 3: id '1' is used twice"),
        ("id\tvideo\n../x\tv.mp4\n", "'../x' is not a valid clip id"),
        ("id\tvideo\n1\t\n", "names no video"),
        ("id\tvideo\tstart\n1\tv.mp4\tsoon\n", "start is 'soon'"),
        ("id\tvideo\tstart\n1\tv.mp4\tnan\n", "start is 'nan'"),
        ("id\tvideo\tframe_rate\n1\tv.mp4\t1/0\n", "frame_rate is '1/0'"),
        ("id\tvideo\tframe_rate\n1\tv.mp4\t-3\n", "frame_rate is '-3'"),
        ("id\tvideo\tframe_rate\n1\tv.mp4\t1e999999999\n", "frame_rate is '1e999999999'"),
        ("id\tvideo\tframe_rate\n1\tv.mp4\t0\n", "frame_rate is 0"),
        ("id\tvideo\trepetition\n1\tv.mp4\tsecond\n", "repetition is 'second'"),
        ("id\tvideo\tstart\tend\n1\tv.mp4\t4\t3\n", "are not a valid interval"),
        ("id\tvideo\n1\tv.mp4\tmore\n", "more fields"),
        ("id\tvideo\n", "names no clip"),
    ],
)
def test_an_invalid_table_is_refused_with_the_line(tmp_path, text, told):
    with pytest.raises(UserError, match=re.escape(told)):
        clips_from_table(write_table(tmp_path, text))


@pytest.mark.parametrize("written", ["~/動画 が/ば.mp4", "動画 が/ば.mp4", "./動画 が/ば.mp4"])
def test_paths_in_a_table_follow_the_rules_of_the_configuration(tmp_path, monkeypatch, written):
    """The home directory and names of a Mac (NFD), relative to the table wherever the command runs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    video = tmp_path / unicodedata.normalize("NFD", "動画 が/ば.mp4")
    video.parent.mkdir()
    video.write_bytes(b"")
    (tmp_path / "clips.tsv").write_text(f"id\tvideo\taudio\na\t{written}\t{written}\n", encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    clip = clips_from_table(tmp_path / "clips.tsv")["a"]
    assert clip.video.exists() and clip.audio.samefile(video)
    # A file that is added later is found too.
    later = video.with_name(unicodedata.normalize("NFD", "ぱ.mp4"))
    later.write_bytes(b"")
    (tmp_path / "clips.tsv").write_text(f"id\tvideo\nb\t{written.replace('ば', 'ぱ')}\n", encoding="utf-8")
    assert clips_from_table(tmp_path / "clips.tsv")["b"].video.samefile(later)


def test_a_binary_table_is_refused(tmp_path):
    path = tmp_path / "clips.tsv"
    path.write_bytes(b"id\tvideo\n\xff\xfe\n")
    with pytest.raises(UserError, match="UTF-8"):
        clips_from_table(path)


def test_the_ids_pattern_matches_only_its_ids():
    rng = np.random.default_rng(0)
    ids = {"".join(rng.choice(list("ab-_1"), rng.integers(1, 5))) for _ in range(200)}
    pattern = re.compile(ids_pattern(ids))
    others = {"".join(rng.choice(list("ab-_1."), rng.integers(1, 6))) for _ in range(2000)} - ids
    assert all(pattern.fullmatch(id) for id in ids)
    assert not any(pattern.fullmatch(other) for other in others)


def test_normalised_videos_use_the_sound_of_the_recording(tmp_path):
    clips = clips_from_directories(touch(tmp_path / "v", "a.avi"))
    assert normalised_clips(clips, tmp_path / "n")["a"].video == tmp_path / "n" / "a.mp4"
    assert normalised_clips(clips, tmp_path / "n")["a"].audio == tmp_path / "v" / "a.avi"


def test_each_recording_in_a_table_has_one_normalised_video(tmp_path):
    rows = {
        "u1": "day 1/take.avi",
        "u2": "take7.avi",
        "u3": "day 2/take.avi",
        "u4": "take7.avi",
        "u5": "take7.avi",
        "u6": "録音 1.avi",
        "u7": "u8.avi",
        "u8": "day 1/take.avi",
        "a": "a.avi",
    }
    clips = {id: Clip(id, tmp_path / video, start=1.0, end=2.0) for id, video in rows.items()}
    normalised = normalised_clips(clips, tmp_path / "n")
    names = {id: clip.video.relative_to(tmp_path / "n").as_posix() for id, clip in normalised.items()}
    assert {names[id] for id in ("u2", "u4", "u5")} == {"take7.mp4"}
    assert names["a"] == "a.mp4"
    # Two videos share a name exactly when they are one recording; no name needs more than an id may hold.
    for one in rows:
        assert require_id(Path(names[one]).stem, "name")
        for other in rows:
            assert (names[one] == names[other]) == (rows[one] == rows[other])
    assert all((clip.start, clip.end, clip.audio) == (1.0, 2.0, clips[id].video) for id, clip in normalised.items())


def test_a_sample_of_unequal_lengths_is_refused(tmp_path):
    directory = tmp_path / "samples" / "a"
    directory.mkdir(parents=True)
    for name, shape in {"mri": (5, 4, 4), "mel_db": (5, 3), "mask": (4,)}.items():
        np.save(directory / f"{name}.npy", np.zeros(shape, np.float32))
    with pytest.raises(UserError, match="5, 5 and 4 frames"):
        open_sample(tmp_path, "a")


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"])
def test_a_broken_array_is_refused_by_name(tmp_path, content):
    directory = tmp_path / "samples" / "a"
    directory.mkdir(parents=True)
    (directory / "mri.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"mri\.npy"):
        open_sample(tmp_path, "a")


def test_a_pickle_in_an_array_file_is_not_executed(tmp_path):
    directory = tmp_path / "samples" / "a"
    directory.mkdir(parents=True)
    np.save(directory / "mri.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"mri\.npy"):
        open_sample(tmp_path, "a")
