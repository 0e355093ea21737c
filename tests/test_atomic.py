"""Files are written atomically, with the bytes of NumPy's own writer."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.atomic import remove_abandoned, replacing, replacing_directory, save_npy, save_npy_rows


def as_numpy_saves(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
        np.arange(24).reshape(4, 6)[::2, ::3],
        np.zeros((0, 2), np.int32),
        np.float64(3.5).reshape(()),
        np.array([True, False]),
    ],
    ids=["C", "Fortran", "strided", "empty", "scalar", "bool"],
)
def test_an_array_is_saved_like_numpy_does(tmp_path, array):
    save_npy(tmp_path / "new" / "a.npy", array)
    assert (tmp_path / "new" / "a.npy").read_bytes() == as_numpy_saves(array)


@pytest.mark.parametrize("count", [0, 1, 1234])
def test_rows_are_saved_like_numpy_saves_the_array(tmp_path, count):
    array = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    assert save_npy_rows(tmp_path / "a.npy", iter(array), (2, 3), np.float32) == count
    assert (tmp_path / "a.npy").read_bytes() == as_numpy_saves(array)


def test_temporary_files_are_removed_only_if_their_process_is_dead(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom rtmri_speech.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n    temporary.write_text('part')\n    os._exit(1)"
    )
    target = tmp_path / "sub" / "some clip.npy"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (tmp_path / ".hidden.npy").touch()
    (tmp_path / "sub" / "own.0123abcd-1-0123abcd.npy").touch()
    abandoned = [path for path in target.parent.iterdir() if path.name.startswith(".")]
    assert len(abandoned) == 1
    with replacing(tmp_path / "mine.json") as temporary:
        temporary.touch()
        assert remove_abandoned(tmp_path) == abandoned
        assert temporary.exists()
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".hidden.npy", "own.0123abcd-1-0123abcd.npy", "mine.json"}
    assert f"-{os.getpid()}-" in temporary.name


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "sounds"
    for round in ("first", "second"):
        with replacing_directory(target) as temporary:
            (temporary / round).mkdir()
            (temporary / round / "a.wav").touch()
        assert [path.name for path in target.iterdir()] == [round]
    with pytest.raises(ValueError), replacing_directory(target) as temporary:
        (temporary / "third").touch()
        raise ValueError
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "sounds",
        "sounds/second",
        "sounds/second/a.wav",
    ]


def test_a_failing_disk_names_the_file_as_it_would_be_and_keeps_the_former_directory(tmp_path, monkeypatch):
    target = tmp_path / "sounds"
    with replacing_directory(target) as temporary:
        (temporary / "a").write_text("former")

    def failing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with pytest.raises(OSError) as error, replacing_directory(target) as temporary:
        failing(temporary / "inner" / "b")
    assert error.value.filename == str(target / "inner" / "b")
    with pytest.raises(OSError) as error, replacing(target / "c") as temporary:
        failing("/elsewhere")
    assert error.value.filename == "/elsewhere"
    rename = os.rename

    def once(source, to):
        if Path(source).name != "sounds" and Path(to) == target and not renamed:
            renamed.append(to)
            failing(source)
        rename(source, to)

    renamed = []
    monkeypatch.setattr(os, "rename", once)
    with pytest.raises(OSError), replacing_directory(target) as temporary:
        (temporary / "a").write_text("new")
    assert renamed
    assert [(path.name, path.read_text()) for path in target.iterdir()] == [("a", "former")]
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_another_removes_while_it_is_made_is_whole(tmp_path):
    target = tmp_path / "sounds"
    with replacing_directory(target) as ours:
        (ours / "a").touch()
        with replacing_directory(target) as theirs:
            (theirs / "b").touch()
        shutil.rmtree(target)
    assert [path.name for path in target.iterdir()] == ["a"]


def test_a_dead_process_directory_is_removed(tmp_path):
    code = (
        "import os, sys\nfrom rtmri_speech.atomic import replacing_directory\n"
        "with replacing_directory(sys.argv[1]) as temporary:\n    (temporary / 'a').touch()\n    os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "sounds")], check=False)
    (left,) = tmp_path.iterdir()
    with replacing_directory(tmp_path / "mine") as temporary:
        assert remove_abandoned(tmp_path) == [left]
        assert temporary.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
