"""Malicious files: code in a checkpoint or array, path traversal, JSON that breaks parsers."""

import io
import json
import os
import pickle
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from corrupt import PATHS
from entry_points import KINDS, write_good_files

from rtmri_speech.dataset.clip import Clip, clips_from_table
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.sample import load_array, open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.explain.regions import Regions
from rtmri_speech.report.scores import read_scores
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import frames_at_rate, read_frames
from rtmri_speech.takeover.lab_dataset import restore_samples
from rtmri_speech.untrusted import array_of_zip, read_array, read_json, require_type

READERS = {kind.name: kind for kind in KINDS}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small valid file of every kind, read-only."""
    return write_good_files(tmp_path_factory.mktemp("hostile") / "good")


@pytest.fixture
def hostile(good, tmp_path):
    """Replace the file of a kind, read it as the scripts do, and restore it."""

    def read(kind, data):
        kind, results = READERS[kind], tmp_path / "results"
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir()
        file = good / kind.file
        sound = file.read_bytes()
        file.write_bytes(data)
        try:
            kind.read(file, results)
        finally:
            file.write_bytes(sound)

    return read


# ---- code ----


class Trap:
    """An object that creates a file when unpickled."""

    def __init__(self, marker, way):
        self.marker, self.way = str(marker), way

    def __reduce__(self):
        if self.way == "system":
            return os.system, (f"echo > {self.marker}",)
        return open, (self.marker, "w")


def as_zip(trap, content):
    out = io.BytesIO()
    torch.save({**content, "extra": trap}, out)
    return out.getvalue()


def as_old_torch(trap, content):
    out = io.BytesIO()
    torch.save({**content, "extra": trap}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def as_pickle(trap, content):
    return pickle.dumps(trap)


CHECKPOINTS = [name for name in READERS if name.startswith("checkpoint") and "safetensors" not in name]


@pytest.mark.parametrize(
    ("form", "way"),
    [(as_zip, "system"), (as_zip, "open"), (as_old_torch, "system"), (as_pickle, "open")],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_no_code_of_a_checkpoint_is_executed(good, hostile, tmp_path, kind, form, way):
    marker = tmp_path / "marker"
    content = torch.load(good / READERS[kind].file, weights_only=True)
    data = form(Trap(marker, way), content)
    with pytest.raises(UserError, match=r"cannot be read|no readable pair"):
        hostile(kind, data)
    assert not marker.exists()


@pytest.mark.parametrize("way", ["system", "open"])
def test_the_trap_works_with_plain_unpickling(tmp_path, way):
    marker = tmp_path / "marker"
    torch.load(io.BytesIO(as_zip(Trap(marker, way), {})), weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("kind", [name for name in READERS if name.startswith(("npy", "npz"))])
def test_no_code_of_an_array_is_executed(hostile, tmp_path, kind):
    marker = tmp_path / "marker"
    out = io.BytesIO()
    np.save(out, np.array([Trap(marker, "open")], object), allow_pickle=True)
    data = out.getvalue()
    if kind.startswith("npz"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            for name in ("mri", "mel", "mask"):
                file.writestr(f"{name}.npy", data)
        data = packed.getvalue()
    for bad in (data, pickle.dumps(Trap(marker, "open"))):
        with pytest.raises(UserError, match=r"is not a complete|not numbers"):
            hostile(kind, bad)
    assert not marker.exists()


# ---- sizes that would fill the memory ----


def test_an_array_with_an_oversized_header_allocates_no_memory(tmp_path):
    path = tmp_path / "mri.npy"
    with path.open("wb") as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**4, 100)}
        )
        out.write(bytes(100))
    for memory_map in (True, False):
        with pytest.raises(UserError, match=r"mri\.npy: is not a complete \.npy array"):
            load_array(path, dimensions=3, memory_map=memory_map)
    packed = tmp_path / "000.npz"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "mri.npy")
    with pytest.raises(UserError, match=r"mri\.npy does not have the size"):
        array_of_zip(packed, "mri", remedy="copy it again").__enter__()


def test_an_npz_renamed_to_npy_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", mri=np.zeros(3))
    shutil.move(tmp_path / "a.npz", tmp_path / "a.npy")
    with pytest.raises(UserError, match="is not a complete"):
        read_array(tmp_path / "a.npy", missing="-", remedy="-")


def test_an_absurdly_large_picture_is_refused(tmp_path):
    # Black, so that 81 million pixels fit into some kilobytes.
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width = stream.height = 9000
        stream.pix_fmt = "gray"
        frame = av.VideoFrame.from_ndarray(np.zeros((9000, 9000), np.uint8), "gray")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert (tmp_path / "a.mov").stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"a\.mov: declares pictures of 9000x9000"):
        next(read_frames(tmp_path / "a.mov"))


def test_a_config_of_a_huge_network_allocates_no_memory(good, hostile):
    content = json.loads((good / "models" / "config.json").read_text())
    for key, value in (("upsample_initial_channel", 2**20), ("upsample_kernel_sizes", [10**9, 20, 9])):
        with pytest.raises(UserError, match="does not fit its config"):
            hostile("json, HiFi-GAN's config", json.dumps({**content, key: value}).encode())
    with pytest.raises(UserError, match="reach over"):
        dilations = {"resblock_dilation_sizes": [[1, 10**9]]}
        hostile("json, HiFi-GAN's config", json.dumps({**content, **dilations}).encode())


# ---- times and values that would hang or ruin what is made of them ----


def test_a_frame_shown_for_days_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuvj420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 48), np.uint8), "gray").reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = 40 * number if number < 39 else 10**9
                container.mux(packet)
    for method in ("nearest", "mean"):
        with pytest.raises(UserError, match=r"a\.mkv: shows one frame from 1\.520 to 1000000\.000 s"):
            for _ in frames_at_rate(tmp_path / "a.mkv", Fraction(25), method, size=(16, 16)):
                pass


def test_a_sound_of_one_sample_a_second_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), 1)
    with pytest.raises(UserError, match=r"a\.wav: declares a sampling rate of 1 Hz"):
        read_audio(tmp_path / "a.wav", sampling_rate=11413)


def with_value(content, path, value):
    """``content`` with another value at the end of a path of keys."""
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("kind", "path", "value", "told"),
    [
        ("checkpoint, mel generator", ["model_state_dict", "head.bias"], torch.full((16,), torch.nan), "head.bias"),
        ("checkpoint, mel generator", ["model_state_dict", "head.bias"], "zeros", "head.bias"),
        ("checkpoint, mel generator", ["network", "rnn_hidden"], 10**9, "rnn_hidden"),
        ("checkpoint, mel generator", ["image_size"], [10**9, 10**9], "image_size"),
        ("checkpoint, mel generator", ["scaler", "mean"], [0.0] * 15, "means"),
        ("checkpoint, mel generator", ["training_ids"], 3, "training_ids"),
        ("checkpoint, mel generator to go on with", ["epoch"], "three", "epoch"),
        ("checkpoint, mel generator to go on with", ["val_loss"], [1.0], "losses"),
        ("checkpoint, generator", ["generator", "conv_post.bias"], torch.zeros(1).to_sparse(), "conv_post.bias"),
        ("checkpoint, discriminators to go on with", ["optim_g", "param_groups", 0, "lr"], "fast", "lr"),
    ],
)
def test_an_invalid_value_in_a_checkpoint_is_reported(good, hostile, kind, path, value, told):
    content = with_value(torch.load(good / READERS[kind].file, weights_only=True), path, value)
    out = io.BytesIO()
    torch.save(content, out)
    with pytest.raises(UserError) as refusal:
        hostile(kind, out.getvalue())
    assert told in str(refusal.value)


@pytest.mark.parametrize("starts", [[[-1, 0]], [[0, -1]], [[0, 0.0]], [[3, 0]], [[0, 0, 0]]])
def test_window_starts_outside_of_the_clips_are_refused(hostile, starts):
    out = io.BytesIO()
    np.save(out, np.array(starts))
    with pytest.raises(UserError, match=r"training\.npy: does not fit the 3 clips"):
        hostile("npy, window starts", out.getvalue())


# ---- names that lead out ----

BAD_IDS = [*(path for path in PATHS if path not in ("a\nb",)), "aux", "LPT9"]


@pytest.mark.parametrize("id", BAD_IDS)
def test_path_traversal_by_an_id_is_refused_everywhere(good, tmp_path, id):
    with pytest.raises(UserError):
        Clip(id, Path("a.mp4"))
    with pytest.raises(UserError):
        open_sample(good / "processed", id)
    table = tmp_path / "clips.tsv"
    table.write_text(f"id\tvideo\n{id}\ta.mp4\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"clips\.tsv, line 2"):
        clips_from_table(table)
    filelist = tmp_path / "training.txt"
    filelist.write_text(f"a0|x|y\n{id}|x|y\n", encoding="utf-8")
    if id.strip():
        with pytest.raises(UserError, match=r"training\.txt"):
            read_filelist(filelist)
    scores = json.loads((good / "evaluation" / "scores.json").read_text())
    scores["clips"] = {id: {"seconds": 1.0}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(UserError, match=r"scores\.json"):
        read_scores(tmp_path)


@pytest.mark.parametrize("name", ["../x", "..", "/tmp/x", "a\\b", "", "a/b", ".x"])
def test_path_traversal_by_a_region_or_row_name_is_refused(good, tmp_path, name):
    path = tmp_path / "regions.json"
    triangle = [[0, 0], [9, 0], [9, 9]]
    for groups in ({"tract": {name: triangle}}, {name: {"lips": triangle}}):
        path.write_text(json.dumps(groups))
        with pytest.raises(UserError, match=r"regions\.json"):
            Regions.read(path)
    scores = json.loads((good / "evaluation" / "scores.json").read_text())
    for rows in (scores["rows"], scores["mel_mse_by_bin"]["rows"]):
        rows[name] = rows["floor"]
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(UserError, match=r"scores\.json"):
        read_scores(tmp_path)


@pytest.mark.parametrize("stem", ["CON", "a b", "..", "a.b", "é"])
def test_a_lab_file_with_an_invalid_id_writes_nothing(good, tmp_path, stem):
    shutil.copytree(good / "lab" / "npz", tmp_path / "lab")
    pairs = tmp_path / "lab" / "pairs_ref4"
    (pairs / "000.npz").rename(pairs / f"{stem}.npz")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"not a valid clip id"):
        restore_samples(tmp_path / "lab")
    assert sorted(tmp_path.rglob("*")) == before


# ---- JSON that breaks parsers ----

ODD_JSON = {
    "nested deeply": b"[" * 200_000,
    "nested deeply, whole": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "NaN": b'{"sr": NaN}',
    "infinity": b'[-Infinity, {"mean": Infinity}]',
    "a number of 6000 digits": b'{"sr": ' + b"9" * 6000 + b"}",
    "a number beyond any": b'{"sr": 1e999, "mean": [1e999], "std": [1]}',
    "UTF-16": '{"sr": 1}'.encode("utf-16"),
    "bytes of no text": b'{"sr": "\xff\xfe"}',
    "NUL": b'{"sr\0": 1}\0',
    "a lone surrogate": b'{"sr": "\\ud800"}',
    "nothing": b"",
    "a word": b'"x"',
    "null": b"null",
}


@pytest.mark.parametrize("kind", [name for name in READERS if name.startswith("json") and "shown" not in name])
@pytest.mark.parametrize("name", ODD_JSON)
def test_invalid_json_is_refused_naming_the_file(hostile, kind, name):
    with pytest.raises(UserError) as refusal:
        hostile(kind, ODD_JSON[name])
    sentence = str(refusal.value)
    assert Path(READERS[kind].file).name in sentence
    assert "\n" not in sentence and len(sentence) < 700


def test_json_with_a_byte_order_mark_or_a_key_twice_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a": 1, "a": 2}')
    assert read_json(path, missing="-", remedy="-") == {"a": 2}


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (10**400, float, False),
        (float("nan"), float, False),
        (None, float | None, True),
        ("1", float | None, False),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ([[1], []], tuple[tuple[int, ...], ...], True),
        ({"a": [1.5]}, dict[str, list[float]], True),
        ({1: [1.5]}, dict[str, list[float]], False),
    ],
)
def test_a_value_of_another_type_is_refused(value, kind, fits):
    if fits:
        require_type(value, kind, "n_fft", "meta.json", "make it again")
    else:
        with pytest.raises(UserError, match=r"^meta\.json: n_fft is .*, not .*; make it again\.$"):
            require_type(value, kind, "n_fft", "meta.json", "make it again")
