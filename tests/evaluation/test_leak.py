from __future__ import annotations

from pathlib import Path

import pytest

from rtmri_speech.dataset.catalogue import read_catalogue, write_catalogue
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.grouping import divide
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.leak import caution, require_unseen
from rtmri_speech.settings.data import Split


def test_unseen_clips_pass():
    require_unseen(["a", "b"], {"acoustic": ["c"], "vocoder": []})


def test_a_seen_clip_is_refused_with_its_stages():
    with pytest.raises(UserError, match="training has seen b by acoustic and vocoder, c by vocoder; score"):
        require_unseen(["a", "b", "c"], {"acoustic": ["b"], "scaler": ["x"], "vocoder": iter(["b", "c"])})


def test_many_seen_clips_are_counted():
    with pytest.raises(UserError, match="and 95 more;"):
        require_unseen([f"c{i}" for i in range(100)], {"acoustic": [f"c{i}" for i in range(100)]})


def test_a_stage_without_a_list_of_clips_is_reported():
    unsaid = require_unseen(["a"], {"scaler": None, "acoustic": None, "vocoder": ["b"]})
    assert unsaid == ["scaler", "acoustic"]
    assert caution(unsaid).startswith("Not held out: scaler and acoustic may have been trained on these clips")
    assert caution(require_unseen(["a"], {"vocoder": []})) is None


def test_a_sentence_that_training_has_is_a_leak_by_text():
    groups = {"a_r1": "one", "a_r2": "one", "b_r1": "two", "c": "three"}
    seen = {"acoustic": ["a_r1", "c"], "vocoder": ["a_r1"]}
    require_unseen(["a_r2", "b_r1"], seen)
    require_unseen(["b_r1"], seen, groups, "text")
    with pytest.raises(UserError, match=r"has seen the text of a_r2 \(one\) by acoustic and vocoder; .*split\.by"):
        require_unseen(["a_r2", "b_r1"], seen, groups, "text")


def test_the_test_block_of_a_divided_recording_may_be_scored_and_none_of_its_clips_elsewhere(tmp_path):
    clips = {
        f"u{number:02d}": Clip(f"u{number:02d}", Path("r.mp4"), start=2.0 * number, end=2.0 * number + 1.9)
        for number in range(12)
    }
    divided = divide(clips, Split(test=0.2))
    kept = {id: clip for id, clip in clips.items() if id not in divided.left_out}
    write_catalogue(tmp_path / "clips.json", kept, divided.by, divided.groups)
    catalogue = read_catalogue(tmp_path)
    seen = {"acoustic": divided.splits["training"] + divided.splits["validation"]}
    require_unseen(divided.splits["test"], seen, catalogue.groups, catalogue.by)
    with pytest.raises(UserError, match="training has seen the recording of u11"):
        require_unseen(["u11"], {"acoustic": divided.splits["test"][:1]}, catalogue.groups, catalogue.by)
