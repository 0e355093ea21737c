from __future__ import annotations

import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.leak import caution, require_unseen


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
