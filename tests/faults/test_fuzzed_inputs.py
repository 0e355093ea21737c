"""Damaged files of every kind are read or refused in a sentence, by the library and by the scripts."""

import os

import pytest
from entry_points import KINDS, Kind
from fuzz import Input, Reader, fuzz, table

from rtmri_speech.errors import UserError

pytestmark = pytest.mark.slow

COUNT, SEED = 200, 11


def test_damaged_files_are_read_or_refused_in_a_sentence():
    outcomes = fuzz(COUNT, SEED)
    print(table(outcomes, SEED))
    defects = [o for o in outcomes if o.verdict == "defect"]
    assert not defects, "\n".join(f"{o.input.kind.name} ({o.input.damage}): {o.said}" for o in defects)
    assert len(outcomes) >= COUNT
    # Most damage must be seen, and some files be sound enough, or nothing was tried.
    assert {o.verdict for o in outcomes} == {"accepted", "refused"}


# ---- the harness finds what it looks for ----


def read_well(file, results):
    (results / "copy").write_bytes(file.read_bytes())


def raise_another(file, results):
    raise ValueError("not a sentence")


def forget_the_file(file, results):
    raise UserError("something", "is wrong", "mend it")


def end_the_process(file, results):
    os.abort()


def write_outside(file, results):
    (results.parent / "stranger").write_bytes(b"")


def run_a_command(file, results):
    os.system("true")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with Reader(tmp_path_factory.mktemp("planted")) as reader:
        yield reader


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (raise_another, "ValueError"),
        (forget_the_file, "does not name the file"),
        (write_outside, "wrote outside the results"),
        (run_a_command, "os.system"),
        (end_the_process, "the process ended with"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_harness_finds_each_defect(reader, read, told):
    # Also after an input that ended the process; the first waits for its imports.
    good = reader.read(Input(Kind("sound", "tables/training.txt", read_well), "none", b"a"))
    assert good.verdict == "accepted", good.said
    outcome = reader.read(Input(Kind("planted", "tables/training.txt", read), "none", b"a"))
    (reader.directory / "stranger").unlink(missing_ok=True)
    assert outcome.verdict == "defect"
    assert told in outcome.said


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_undamaged_file_of_each_kind_is_accepted(reader, kind):
    outcome = reader.read(Input(kind, "none", (reader.good / kind.file).read_bytes()))
    assert outcome.verdict == "accepted", outcome.said
