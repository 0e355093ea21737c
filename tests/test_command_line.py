"""Arguments pass unchanged through the shell of this system, and of Windows by its documented rules."""

import subprocess
import sys
from pathlib import Path

import pytest

from rtmri_speech.command_line import flags, quoted
from rtmri_speech.errors import UserError

WORDS = [
    "plain",
    "",
    "two words",
    "実験 1/動画.mp4",
    "a&b|c<d>e^f",
    "50%",
    "it's",
    "(x)!",
    "D:\\研究 用\\",
    "\\\\server\\share\\x y\\\\",
    'say "a".wav',
    '{"fmax": null, "path": "D:\\\\研究 用\\\\", "bands": ["F1 (Hz)"]}',
    'a&b"c"',
    'ends in \\\\""',
    "-3.5",
    "x" * 200 + "/" + "長" * 100,
]


def argument_of_windows(line: str) -> str:
    """The one argument of a command line, as Microsoft's C runtime reads it after ``cmd`` has passed it on."""
    literal = False  # cmd's own quoting, which knows no backslash
    for letter in line:
        literal ^= letter == '"'
        assert literal or letter not in "&|<>^", line
    assert not literal, line
    argument, quoting, at = "", False, 0
    while at < len(line):
        slashes = len(line[at:]) - len(line[at:].lstrip("\\"))
        following = line[at + slashes : at + slashes + 1]
        if following == '"':
            argument += "\\" * (slashes // 2)
            if slashes % 2:
                argument += '"'
            else:
                quoting = not quoting
            at += slashes + 1
        else:
            assert quoting or following not in (" ", "\t", "&", "|", "<", ">", "^", "(", ")"), line
            argument += "\\" * slashes + following
            at += slashes + 1
    assert not quoting
    return argument


@pytest.mark.parametrize("word", WORDS)
def test_a_word_survives_the_shell(word):
    line = f"{quoted(sys.executable)} -c {quoted('import sys; sys.stdout.buffer.write(sys.argv[1].encode())')}"
    done = subprocess.run(f"{line} {quoted(word)}", shell=True, capture_output=True, check=True)
    assert done.stdout.decode() == word
    assert argument_of_windows(quoted(word, "nt")) == word


@pytest.mark.parametrize("word", ["%PATH%\\x.mp4", 'a"b&c"', 'odd "', "two\nlines"])
def test_words_that_cmd_would_change_are_refused(word):
    with pytest.raises(UserError, match="Windows shell"):
        quoted(word, "nt")


def test_unset_flags_are_omitted():
    settings = {
        "lr": 1e-4,
        "bands": ["F1:300-900", "F 2"],
        "bf16": True,
        "resume": False,
        "base": None,
        "out": Path("a b"),
    }
    assert flags(settings, "posix") == "--lr 0.0001 --bands F1:300-900 'F 2' --bf16 --out 'a b'"
    assert flags(settings, "nt") == '--lr "0.0001" --bands "F1:300-900" "F 2" --bf16 --out "a b"'
