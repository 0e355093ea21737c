"""Frames in directories of pictures and in arrays come out as they went in, in order and in time."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import scipy.io

from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import frames_at_rate, probe, read_frames

RATE = Fraction(50)
PICTURES = np.random.default_rng(0).integers(0, 256, (12, 20, 24), dtype=np.uint8)
SQUARE = np.random.default_rng(1).integers(0, 256, (12, 20, 20), dtype=np.uint8)
DEEP = np.random.default_rng(2).integers(0, 3000, (12, 20, 24), dtype=np.uint16)
DEEP[3, 4, 5] = 3000


def read(path, **options):
    return np.stack(list(read_frames(path, own_rate=RATE, **options)))


def pngs(directory, pictures, name="a_{:04d}.png", first=0):
    directory.mkdir()
    for number, picture in enumerate(pictures):
        (directory / name.format(first + number)).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return directory


def npys(directory, pictures):
    directory.mkdir()
    for number, picture in enumerate(pictures, 1):
        np.save(directory / f"{number:04d}.npy", picture)
    return directory


@pytest.mark.parametrize("name", ["a_{:04d}.png", "{}.PNG", "発話 1-{}.png"])
def test_pictures_of_a_directory_are_in_the_order_of_their_numbers(tmp_path, name):
    assert np.array_equal(read(pngs(tmp_path / "動画", PICTURES, name, first=1)), PICTURES)


def test_colour_becomes_gray(tmp_path):
    colour = np.repeat(PICTURES[..., None], 3, axis=-1)
    assert np.array_equal(read(pngs(tmp_path / "a", colour)), PICTURES)


def matlab(path, array):
    """The frames as MATLAB holds them, (height, width, time), beside something else."""
    scipy.io.savemat(path, {"recon": np.moveaxis(array, 0, -1), "times": np.arange(12.0)})
    return path


def matlab73(path, array):
    """As MATLAB 7.3 writes (height, width, time): HDF5 with the axes reversed, behind 512 bytes of its own."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        file["recon"] = np.moveaxis(array, 0, -1).transpose()
        file["times"] = np.arange(12.0)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    return path


def h5(path, array):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["group/recon"] = array
        file["group/k-space"] = np.zeros((3, 4, 5))
    return path


def npy(path, array):
    np.save(path, array)
    return path


STORES = {
    "png": lambda folder, array: pngs(folder / "a", array),
    "npys": lambda folder, array: npys(folder / "a", array),
    "npy": lambda folder, array: npy(folder / "a.npy", array),
    "mat": lambda folder, array: matlab(folder / "a.mat", array),
    "mat 7.3": lambda folder, array: matlab73(folder / "a.mat", array),
    "h5": lambda folder, array: h5(folder / "a.h5", array),
}


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("pictures", [PICTURES, SQUARE], ids=["oblong", "square"])
def test_every_store_gives_the_frames_that_were_put_in(tmp_path, kind, pictures):
    assert np.array_equal(read(STORES[kind](tmp_path, pictures)), pictures)


@pytest.mark.parametrize("kind", STORES)
def test_the_brightest_value_of_a_deep_store_is_white_in_every_cut(tmp_path, kind):
    path = STORES[kind](tmp_path, DEEP)
    wanted = DEEP / 3000
    assert np.abs(read(path, depth=16) / 65535 - wanted).max() < 1e-5
    assert np.abs(read(path) / 255 - wanted).max() < 1 / 255
    cut = read(path, start=0.1, end=0.2)
    assert np.array_equal(cut, read(path)[5:10])


def test_fractions_and_a_phase_are_brightness_too(tmp_path):
    phase = np.exp(1j * np.arange(24))
    for values in (DEEP / 7, DEEP / 7 * phase):
        assert np.abs(read(npy(tmp_path / "a.npy", np.abs(values))) / 255 - DEEP / 3000).max() < 1 / 255
    scipy.io.savemat(tmp_path / "a.mat", {"recon": np.moveaxis(DEEP / 7 * phase, 0, -1)})
    assert np.abs(read(tmp_path / "a.mat") / 255 - DEEP / 3000).max() < 1 / 255


def test_the_axis_of_time_is_found_by_the_square_picture(tmp_path):
    assert np.array_equal(read(npy(tmp_path / "a.npy", np.moveaxis(SQUARE, 0, -1))), SQUARE)
    scipy.io.savemat(tmp_path / "a.mat", {"x": SQUARE})
    assert np.array_equal(read(tmp_path / "a.mat"), SQUARE)


def test_mviews_form_brings_its_rate_and_its_sound(tmp_path):
    sound = np.int16(1000 * np.sin(np.arange(3840)))
    entries = np.zeros((1, 2), dtype=[("NAME", object), ("SRATE", object), ("SIGNAL", object)])
    entries[0, 0] = ("AUDIO", 16000.0, sound[:, None])
    entries[0, 1] = ("IMAGE", 50.0, np.moveaxis(SQUARE, 0, -1))
    path = tmp_path / "usc_s1_01_mview.mat"
    scipy.io.savemat(path, {"usc_s1_01": entries})
    assert np.array_equal(np.stack(list(read_frames(path))), SQUARE)
    info = probe(path)
    assert (info.width, info.height, info.rate, info.frames) == (20, 20, 50, 12)
    assert np.allclose(read_audio(path, sampling_rate=16000, start=0.1), sound[1600:] / 32767, atol=1e-6)


def test_frames_of_another_rate_are_resampled_or_refused(tmp_path):
    path = npy(tmp_path / "a.npy", PICTURES)
    assert np.array_equal(
        np.stack(list(frames_at_rate(path, Fraction(25), "nearest", own_rate=RATE))), PICTURES[[1, 3, 5, 7, 9, 11]]
    )
    with pytest.raises(UserError, match=r"has 50.000 frames/s where the mel has 25.000"):
        list(frames_at_rate(path, Fraction(25), own_rate=RATE))
    with pytest.raises(UserError, match=r"ends at 0.240 s, before the cut's end 0.5 s"):
        read(path, start=0.1, end=0.5)
    with pytest.raises(UserError, match=r"frames without their rate; give .*corpus\.frame_rate"):
        list(read_frames(path))


def gap(folder):
    pngs(folder / "a", PICTURES)
    (folder / "a" / "a_0004.png").unlink()
    return folder / "a"


def damaged_png(folder):
    pngs(folder / "a", PICTURES)
    (folder / "a" / "a_0004.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder / "a"


def other_size(folder):
    pngs(folder / "a", [*PICTURES[:3], PICTURES[3, :10]])
    return folder / "a"


def written(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def two_arrays(folder):
    scipy.io.savemat(folder / "a.mat", {"x": DEEP, "y": DEEP})
    return folder / "a.mat"


def cut_off(folder):
    matlab(folder / "a.mat", PICTURES)
    return written(folder, "a.mat", (folder / "a.mat").read_bytes()[:2000])


def cut_off_h5(folder):
    h5(folder / "a.h5", PICTURES)
    return written(folder, "a.h5", (folder / "a.h5").read_bytes()[:3000])


def vast_h5(folder, shape=(12, 10**6, 10**6)):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("frames", shape, "f8", chunks=(1, 10, 10))
    return folder / "a.h5"


def mview_with(folder, rate, signal):
    entries = np.zeros((1, 1), dtype=[("NAME", object), ("SRATE", object), ("SIGNAL", object)])
    entries[0, 0] = ("IMAGE", rate, signal)
    scipy.io.savemat(folder / "a.mat", {"x": entries})
    return folder / "a.mat"


WRONG = {
    "vast pictures": (vast_h5, "larger than frames are"),
    "years of frames": (lambda folder: vast_h5(folder, (10**9, 20, 20)), "larger than frames are"),
    "no rate": (lambda folder: mview_with(folder, np.nan, SQUARE), "gives no rate of its IMAGE"),
    "a rate in letters": (lambda folder: mview_with(folder, "50", SQUARE), "gives no rate of its IMAGE"),
    "no numbers in mview's form": (lambda folder: mview_with(folder, 50.0, "pictures"), "its IMAGE holds no numbers"),
    "a missing frame": (gap, r"has frame 5 \(a_0005.png\) after frame 3"),
    "a damaged picture": (damaged_png, "a_0004.png: is not a PNG"),
    "another size": (other_size, r"and, at number 3, of \(10, 24\)"),
    "an empty directory": (lambda folder: pngs(folder / "a", []), "holds no picture"),
    "no numbers": (lambda folder: pngs(folder / "a", PICTURES[:1], "a.png"), "whose name has no number"),
    "a flat array": (lambda folder: npy(folder / "a.npy", PICTURES[0]), "which is not one of frames"),
    "not finite": (lambda folder: npy(folder / "a.npy", DEEP * np.nan), "not finite numbers"),
    "black": (lambda folder: npy(folder / "a.npy", DEEP * 0), "every value is 0"),
    "two arrays": (two_arrays, "is not clear"),
    "no mat": (lambda folder: written(folder, "a.mat", b"text"), "is not a complete .mat file"),
    "a mat cut off": (cut_off, "is not a complete .mat file"),
    "no h5": (lambda folder: written(folder, "a.h5", b"text"), "is not an HDF5 file"),
    "an h5 cut off": (cut_off_h5, "is not an HDF5 file, or is cut off"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_row_of_frames_is_refused(tmp_path, name):
    make, fault = WRONG[name]
    if "h5" in name:
        pytest.importorskip("h5py")
    with pytest.raises(UserError, match=fault):
        read(make(tmp_path))
