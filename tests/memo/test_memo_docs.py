"""The Japanese pages have the same commands, names, numbers and tables as the English ones."""

import itertools
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest
from code_blocks import FENCED, INDENTED, code_lines
from memo_commands import COMMANDS, ROOT, SCRIPTS

PAGES = {"README.md": "docs/ja/README.md", "docs/from_the_memo.md": "docs/ja/from_the_memo.md"}
WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER_WORDS = {word: str(number) for number, word in enumerate(WORDS, 2)} | {"october": "10"}
"""``one`` is left out: it is an article more often than a number."""

_INLINE = re.compile(r"`([^`\n]+)`")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without code blocks, inline code and the targets of links."""
    text = _INLINE.sub(" ", INDENTED.sub("\n", FENCED.sub("\n", text)))
    return re.sub(r"\]\([^)]*\)|https?://\S+", "]", text)


def numbers(text: str) -> Counter:
    """The numbers of the prose; English ones may be words."""
    words = re.sub(
        rf"\b({'|'.join(NUMBER_WORDS)})\b",
        lambda match: NUMBER_WORDS[match[1].lower()],
        prose(text),
        flags=re.IGNORECASE,
    )
    return Counter(number for number in re.findall(r"\d+(?:\.\d+)*", words) if number != "1")


def shape(text: str) -> list[str]:
    """Headings by their level and tables by their rows and columns, in their order."""
    outline = []
    for line in FENCED.sub("", text).splitlines():
        if match := re.match(r"(#+) ", line):
            outline.append(match[1])
        elif line.startswith("|"):
            outline.append(f"{line.count('|')} columns")
    return outline


@pytest.mark.parametrize(("english", "japanese"), PAGES.items())
def test_the_same_commands(english, japanese):
    assert code_lines(read(japanese)) == code_lines(read(english))


@pytest.mark.parametrize(("english", "japanese"), PAGES.items())
def test_the_same_names_in_the_text(english, japanese):
    found = [Counter(_INLINE.findall(FENCED.sub("", read(page)))) for page in (japanese, english)]
    assert found[0] - found[1] == found[1] - found[0] == Counter()


@pytest.mark.parametrize(("english", "japanese"), PAGES.items())
def test_the_same_numbers(english, japanese):
    found = [numbers(read(page)) for page in (japanese, english)]
    assert found[0] - found[1] == found[1] - found[0] == Counter()


@pytest.mark.parametrize(("english", "japanese"), PAGES.items())
def test_the_same_headings_and_tables(english, japanese):
    assert shape(read(japanese)) == shape(read(english))


@pytest.mark.parametrize("page", [*PAGES, *PAGES.values()])
def test_links_and_scripts_are_there(page):
    text = read(page)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target
    for script in re.findall(r"workflow/scripts/(\w+\.py)", text):
        assert (SCRIPTS / script).exists(), script


@pytest.mark.parametrize("page", [*PAGES, *PAGES.values()])
def test_targets_precede_options_with_many_values(page):
    """Snakemake's ``--configfile`` and ``--config`` would read a following target as another value."""
    text = read(page)
    commands = [line for line in [*code_lines(text), *_INLINE.findall(text)] if line.startswith("snakemake ")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        for option in ("--configfile", "--config"):
            following = words[words.index(option) + 1 :] if option in words else []
            taken = list(itertools.takewhile(lambda word: not word.startswith("-"), following))
            assert len(taken) <= 1, command


def test_every_script_of_the_memo_is_on_the_page():
    named = {script for command in COMMANDS.values() for script in re.findall(r"(\w+\.py)", command)}
    assert len(named) == 10
    for script in named:
        assert f"`{script}" in read("docs/from_the_memo.md")


def test_quick_figures_equal_those_of_the_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(ROOT, "benchmarks")))
    compare = pytest.importorskip("compare_with_memo")
    text = read("docs/from_the_memo.md")
    for row in [*compare.alignment(), *compare.bands(), *compare.upper_edge()]:
        assert "| " + " | ".join(map(str, row)) + " |" in text
    del sys.modules["compare_with_memo"]
