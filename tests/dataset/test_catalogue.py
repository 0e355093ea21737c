"""What is known of the clips is written beside the dataset and read again."""

from pathlib import Path

import pytest

from rtmri_speech.dataset.catalogue import read_catalogue, write_catalogue
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.grouping import groups_of
from rtmri_speech.errors import UserError


def test_titles_and_groups_are_read_as_they_were_written(tmp_path):
    clips = {
        "a": Clip("a", Path("v/a.mp4"), speaker="F1", text="One, two."),
        "b-12345678": Clip("b-12345678", Path("v/b 発話.mp4"), title="b 発話", speaker="F2", text="one two"),
    }
    write_catalogue(tmp_path / "clips.json", clips, "text", groups_of(clips, "text"))
    found = read_catalogue(tmp_path)
    assert (found.by, found.groups) == ("text", {"a": "one two", "b-12345678": "one two"})
    assert (found.title("a"), found.title("b-12345678")) == ("a", "b 発話")


def test_a_directory_without_one_says_nothing_and_a_damaged_one_is_refused(tmp_path):
    assert read_catalogue(tmp_path).groups == {} and read_catalogue(tmp_path).title("x") == "x"
    (tmp_path / "clips.json").write_text('{"split_by": "mood", "clips": {}}')
    with pytest.raises(UserError, match="split_by is 'mood'"):
        read_catalogue(tmp_path)
