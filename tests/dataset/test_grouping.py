"""What has a text, a speaker or a recording in common is on one side of the split."""

from dataclasses import replace
from pathlib import Path

import pytest

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.grouping import divide, groups_of, shared_groups
from rtmri_speech.dataset.split import SPLITS, split_clips
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Named, Split

SETTINGS = Split(validation=0.2, test=0.2)
SENTENCES = ["This was easy, for us.", "Is this seesaw safe?", "Those thieves stole thirty jewels.", "Jane."]


def three_speakers():
    """Each says each sentence twice, not always written alike."""
    clips = {}
    for speaker in ("F1", "M1", "M2"):
        for number, sentence in enumerate(SENTENCES):
            for repetition in (1, 2):
                id = f"{speaker}_{number}_r{repetition}"
                text = sentence if repetition == 1 else sentence.upper().replace(",", "")
                clips[id] = Clip(id, Path(f"{id}.mp4"), speaker=speaker, text=text, repetition=repetition)
    return clips


def cut(count, seconds=3.0, pause=0.0, video="long.mp4"):
    return {
        f"u{number:02d}": Clip(
            f"u{number:02d}",
            Path(video),
            start=number * (seconds + pause),
            end=number * (seconds + pause) + seconds,
        )
        for number in range(count)
    }


def test_two_repetitions_of_a_sentence_are_kept_apart_by_text_and_by_speaker():
    clips = three_speakers()
    for by in ("text", "speaker"):
        divided = divide(clips, replace(SETTINGS, by=by))
        assert sorted(id for ids in divided.splits.values() for id in ids) == sorted(clips)
        assert all(divided.splits[part] for part in SPLITS)
        sides = [
            {(clip.text.lower().strip(".,").replace(",", "")) if by == "text" else clip.speaker for clip in side}
            for side in ([clips[id] for id in divided.splits[part]] for part in SPLITS)
        ]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        assert (divided.by, divided.notes) == (by, [])


def test_what_a_split_by_clip_leaks_is_found_and_said():
    clips = three_speakers()
    divided = divide(clips, replace(SETTINGS, by="clip"))
    leaked = shared_groups(divided.splits, groups_of(clips, "text"))
    seen = {
        clips[id].text.lower().replace(",", "") for part in ("training", "validation") for id in divided.splits[part]
    }
    assert sorted(leaked) == [id for id in divided.splits["test"] if clips[id].text.lower().replace(",", "") in seen]
    assert leaked and "split: {by: text}" in divided.notes[0]


def test_one_speaker_left_out_is_the_test_part():
    clips = three_speakers()
    divided = divide(clips, replace(SETTINGS, test_speaker="M1"))
    assert {clips[id].speaker for id in divided.splits["test"]} == {"M1"} and len(divided.splits["test"]) == 8
    assert {clips[id].speaker for part in ("training", "validation") for id in divided.splits[part]} == {"F1", "M2"}
    assert divided.splits["validation"]
    by_text = divide(clips, replace(SETTINGS, test_speaker="M1", by="text")).splits
    assert not {clips[id].text.lower() for id in by_text["training"]} & {
        clips[id].text.lower() for id in by_text["validation"]
    }
    with pytest.raises(UserError, match="'X', who speaks in no clip; give one of F1, M1, M2"):
        divide(clips, replace(SETTINGS, test_speaker="X"))


def test_utterances_of_a_recording_stay_on_one_side():
    clips = {}
    for recording in range(5):
        for id, clip in cut(4, video=f"r{recording}.mp4").items():
            clips[f"r{recording}{id}"] = Clip(f"r{recording}{id}", clip.video, start=clip.start, end=clip.end)
    divided = divide(clips, SETTINGS)
    assert divided.by == "recording"
    sides = [{clips[id].video for id in divided.splits[part]} for part in SPLITS]
    assert sum(map(len, sides)) == 5 and all(sides)


def test_a_clip_of_its_own_recording_is_placed_as_ever():
    clips = {id: Clip(id, Path(f"{id}.mp4")) for id in (f"{number:03d}" for number in range(60))}
    assert divide(clips, SETTINGS).splits == split_clips(clips, 42, 0.2, 0.2)
    assert divide(clips, SETTINGS).by == "clip"


@pytest.mark.parametrize("pause", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("count", [5, 8, 30])
def test_one_recording_is_divided_into_blocks_with_a_gap(count, pause):
    clips = cut(count, pause=pause)
    divided = divide(clips, SETTINGS)
    times = {part: [(clips[id].start, clips[id].end) for id in divided.splits[part]] for part in SPLITS}
    assert all(times.values())
    assert min(times["validation"])[0] - max(end for _, end in times["training"]) >= 1.0
    assert min(times["test"])[0] - max(end for _, end in times["validation"]) >= 1.0
    assert sorted([*divided.left_out, *(id for ids in divided.splits.values() for id in ids)]) == sorted(clips)
    assert len(divided.left_out) == (0 if pause > 1 else 2)
    assert "blocks in time" in divided.notes[0]
    # The blocks of one recording are no leak.
    assert shared_groups(divided.splits, divided.groups) == {}


def test_clips_that_are_named_decide_themselves():
    clips = cut(6)
    assert divide(clips, replace(SETTINGS, named=Named(test=("u02",)))).splits["test"] == ["u02"]
    texts = three_speakers()
    divided = divide(texts, replace(SETTINGS, by="text", named=Named(test=("F1_0_r1",))))
    assert {"F1_0_r1", "F1_0_r2", "M2_0_r2"} <= set(divided.splits["test"])
    with pytest.raises(UserError, match="a clip of the same group"):
        divide(texts, replace(SETTINGS, by="text", named=Named(test=("F1_0_r1",), training=("M1_0_r1",))))


def test_a_clip_without_a_text_cannot_be_divided_by_texts():
    clips = {**three_speakers(), "x": Clip("x", Path("x.mp4"))}
    with pytest.raises(UserError, match=r"of 1 of 25 clips no text is known \(x\)"):
        divide(clips, replace(SETTINGS, by="text"))
