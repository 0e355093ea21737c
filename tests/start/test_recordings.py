"""What is found in a folder, and what is said of it."""

from fractions import Fraction

import cv2
import miniatures
import numpy as np
import pytest
from small_recordings import record

from rtmri_speech.dataset.clip import id_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.start.recordings import as_directories, describe, find_recordings


def test_names_as_people_have_them(tmp_path):
    for name in ("発話 1", "take.2 (final)", "plain"):
        record(tmp_path / "動画 A" / f"{name}.mp4", tmp_path / "sound files" / f"{name}.wav", 1.0)
    found = find_recordings(tmp_path)
    assert set(found.seen) == {id_of("発話 1"), id_of("take.2 (final)"), "plain"}
    clip = found.seen[id_of("発話 1")].clip
    assert clip.title == "発話 1" and clip.audio == tmp_path / "sound files" / "発話 1.wav"
    clips = {id: one.clip for id, one in found.seen.items()}
    assert as_directories(clips) == (tmp_path / "動画 A", tmp_path / "sound files")
    # A sound without a video would be a clip of the directories, and is none of the project's.
    write_wav(tmp_path / "sound files" / "alone.wav", np.full(16000, 0.1), 16000)
    assert as_directories(clips) is None
    said = "\n".join(describe(found))
    assert "Clips: 3" in said and "Frames per second: 25." in said and "32x32" in said and "発話 1 -> " in said


def test_each_video_gets_the_sound_text_and_annotation_nearest_to_it(tmp_path):
    for speaker in ("s1", "s2"):
        record(tmp_path / speaker / "video" / "a.mp4", tmp_path / speaker / "audio" / "a.wav", 1.0)
        (tmp_path / speaker / "a.txt").write_text(f"said by\n{speaker}", encoding="utf-8")
        grid = tmp_path / speaker / "a.TextGrid"
        grid.write_text(miniatures.textgrid({"words": [(0.1, 0.5, "said")]}, 1.0), encoding="utf-8")
    found = find_recordings(tmp_path)
    assert set(found.seen) == {"s1_video_a", "s2_video_a"}
    for speaker in ("s1", "s2"):
        clip = found.seen[f"{speaker}_video_a"].clip
        assert clip.audio == tmp_path / speaker / "audio" / "a.wav" and clip.text == f"said by {speaker}"
        assert clip.alignment == tmp_path / speaker / "a.TextGrid"
    # Only a table says which text is whose.
    assert as_directories({id: one.clip for id, one in found.seen.items()}) is None


def test_what_does_not_fit_is_named_with_its_cause(tmp_path):
    record(tmp_path / "good.mp4", tmp_path / "good.wav", 2.0)
    record(tmp_path / "mute.mp4", None, 2.0)
    record(tmp_path / "long.mp4", None, 2.0)
    write_wav(tmp_path / "long.wav", np.full(16000 * 4, 0.1), 16000)
    write_wav(tmp_path / "alone.wav", np.full(16000, 0.1), 16000)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    found = find_recordings(tmp_path)
    assert set(found.seen) == {"good"} and set(found.refused) == {"mute", "long", "broken"}
    assert "no sound" in found.refused["mute"] and "2.00 s longer than the picture" in found.refused["long"]
    said = "\n".join(describe(found))
    assert "Clips that cannot be used: 3" in said and "without a video of their name: 1 (alone.wav)" in said


def test_two_files_of_one_name_are_not_silently_one(tmp_path):
    record(tmp_path / "a.mp4", tmp_path / "a.wav", 1.0)
    record(tmp_path / "a.mkv", None, 1.0)
    found = find_recordings(tmp_path)
    assert len(found.seen) == 1 and len(found.refused) == 1


def test_pictures_need_a_frame_rate(tmp_path):
    for number in range(20):
        path = tmp_path / "frames" / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 32), number * 10, np.uint8))
    write_wav(tmp_path / "frames.wav", np.full(16000, 0.1), 16000)
    with pytest.raises(UserError, match="without their rate"):
        find_recordings(tmp_path)
    seen = find_recordings(tmp_path, frame_rate=20.0).seen["frames"]
    assert seen.rate == 20 and seen.seconds == 1.0


@pytest.mark.parametrize("name", miniatures.SETS)
def test_a_public_set_is_recognised_by_its_layout(tmp_path, name):
    found = find_recordings(miniatures.SETS[name](tmp_path))
    assert found.source == name and found.seen
    assert any("expected" in note or "left out" in note for note in found.notes)


def test_a_named_set_that_is_not_there_is_refused(tmp_path):
    record(tmp_path / "a.mp4", tmp_path / "a.wav", 1.0, Fraction(99))
    with pytest.raises(UserError, match="subNNN"):
        find_recordings(tmp_path, "usc75")


@pytest.mark.parametrize("content", [None, "empty"])
def test_a_folder_without_a_video_is_refused(tmp_path, content):
    place = tmp_path / "there"
    if content:
        place.mkdir()
    with pytest.raises(UserError):
        find_recordings(place)
