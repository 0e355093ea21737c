"""Answers of a listening test are counted by system, and only those of this test."""

import subprocess
import sys
from pathlib import Path

import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.listening import count_answers, read_key

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "score_listening_test.py"
KEY = "code,system,clip\nc1,recording,a\nc2,mine,a\nc3,recording,b\nc4,mine,b\n"
HEAD = '"kind","seed","listener","trial","first","second","answer"\n'


def answers(path, lines, listener="x", kind="mos"):
    rows = [f'"{kind}","0","{listener}","{number}",{line}' for number, line in enumerate(lines, 1)]
    path.write_text(HEAD + "".join(row + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def key(tmp_path):
    (tmp_path / "key.csv").write_text(KEY)
    return read_key(tmp_path / "key.csv")


def test_opinions_are_averaged_by_system(key, tmp_path):
    first = answers(tmp_path / "1.csv", ['"c1","","5"', '"c2","","2"', '"c3","","4"', '"c4","","1"'])
    second = answers(tmp_path / "2.csv", ['"c1","","4"', '"c2","","3"'], "y, z")
    recording, mine = count_answers(key, [first, second])
    assert (recording.name, recording.mean, recording.answers, recording.listeners) == ("recording", 4.25, 3, 2)
    # Of two listeners with means 1.5 and 3.
    assert (mine.mean, mine.low, mine.high) == (2.25, 1.5, 3)
    run = subprocess.run(
        [sys.executable, SCRIPT, "--key", tmp_path / "key.csv", "--answers", first, second],
        capture_output=True,
        text=True,
    )
    assert "| recording | 4.25 | 4.00 – 4.50 | 3 | 2 |" in run.stdout


def test_preferences_do_not_depend_on_what_was_heard_first(key, tmp_path):
    file = answers(tmp_path / "1.csv", ['"c1","c2","first"', '"c4","c3","second"'], kind="ab")
    (found,) = count_answers(key, [file])
    assert (found.name, found.mean) == ("recording over mine", 1)
    file = answers(tmp_path / "1.csv", ['"c1","c2","none"', '"c4","c3","first"'], kind="ab")
    assert count_answers(key, [file])[0].mean == 0.25


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['"c9","","5"'], "has a sound that is not in the key"),
        (['"c1","","6"'], "has the answer '6'"),
        (['"c1","","5"', '"c1","","4"'], "answers a trial of 'x' a second time"),
        (['"c1","5"'], "has a line with too few or too many columns"),
    ],
)
def test_other_answers_are_refused(key, tmp_path, lines, said):
    with pytest.raises(UserError, match=said):
        count_answers(key, [answers(tmp_path / "1.csv", lines)])


def test_other_files_are_refused(key, tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n")
    with pytest.raises(UserError, match="does not have the columns kind, seed, listener"):
        count_answers(key, [tmp_path / "1.csv"])
    with pytest.raises(UserError, match="does not have the columns code, system, clip"):
        read_key(tmp_path / "1.csv")
