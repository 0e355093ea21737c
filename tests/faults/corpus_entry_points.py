"""Entry points for what data sets, annotations, stores of frames, listeners and other experiments bring."""

import contextlib
import functools
import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import scipy.io
from corrupt import NUMBERS_BEYOND_JSON, PLAIN_VALUES
from hypothesis import strategies as st
from kinds import Kind, run_script_here

sys.path.insert(0, str(Path(__file__).parents[1]))

import miniatures

from rtmri_speech.signal.mel import MelSpec

SETS = ("usc75", "usc_timit", "usc_lss", "rtmridb", "artspeech")
"""Public sets whose readers read more than names of files."""

RATE = 25.0
PICTURES = np.uint8(np.random.default_rng(0).integers(0, 200, (24, 20, 20)))
RESULTS = "compared/one", "compared/other"
SOUNDS = "evaluation/sounds"

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="100"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="800"/></TIME_ORDER>
<TIER TIER_ID="sentences"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>said so</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="words" PARENT_REF="sentences"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>said</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>so</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="phones" PARENT_REF="words"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a3"><ANNOTATION_VALUE>s</ANNOTATION_VALUE></REF_ANNOTATION>
</ANNOTATION></TIER></ANNOTATION_DOCUMENT>
"""

TRANS = "0.10,0.30,hh,he,he ran, and fell,1\n0.30,0.50,iy,he,he ran, and fell,1\n0.60,0.80,s,stop,stop,2\n"
PHONES = {"phones": [{"start": 0.1, "end": 0.4, "label": "a"}], "words": [[0.1, 0.4, "ah"], [0.5, 0.8, "so"]]}
JAPANESE = "あした"


def write_corpus_files(
    directory: Path, scores: Mapping[str, Any], record: Mapping[str, Any], sound: np.ndarray
) -> None:
    """Write the good files of `CORPUS_KINDS` beside those of the other kinds; ``sound`` is at 11413 Hz."""
    for name in SETS:
        miniatures.SETS[name](directory / "sets" / name)
    _write_stores(directory / "stores")
    tiers = {"words": [(0.1, 0.3, "ah"), (0.5, 0.8, "so")], "phones": [(0.1, 0.2, "a"), (0.2, 0.3, "h")]}
    annotated = directory / "annotated"
    contents = {
        ".TextGrid": miniatures.textgrid(tiers, 0.9),
        ".eaf": ELAN,
        ".trans": TRANS,
        ".json": json.dumps(PHONES),
        ".txt": JAPANESE,
    }
    for ending, content in contents.items():
        miniatures.text(annotated / ending[1:] / f"a{ending}", content)
        shutil.copy(directory / "media" / "a.mp4", annotated / ending[1:])
    settings = {"results": "one", "dataset": "../processed", "acoustic": {"dropout": 0.1}, "split": {"seed": 1}}
    for number, name in enumerate(RESULTS):
        results = directory / name
        shutil.copytree(directory / "evaluation", results / "evaluation")
        _json(results / "settings.json", {**settings, "results": str(number)})
        _json(results / "provenance" / "acoustic.json", record)
        models = {name: {"file": "x", "sha256": str(number) * 64} for name in ("mri_checkpoint", "hifigan_checkpoint")}
        _json(results / "infer" / "models.json", models)
    shutil.copytree(directory / "processed", directory / "compared" / "one" / "dataset")
    for name in RESULTS:
        _json(directory / name / "settings.json", {**settings, "results": Path(name).name, "dataset": "one/dataset"})
    shutil.copytree(directory / "evaluation" / "sounds", directory / "listening" / "sounds")
    _write_listening(directory / "listening")


def _json(path: Path, content: Any) -> None:
    miniatures.text(path, json.dumps(content))


def _write_stores(directory: Path) -> None:
    (directory / "png").mkdir(parents=True)
    for number, picture in enumerate(PICTURES, 1):
        (directory / "png" / f"f_{number:03d}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    np.save(directory / "frames.npy", PICTURES)
    last = np.moveaxis(PICTURES, 0, -1)
    scipy.io.savemat(directory / "frames.mat", {"recon": last, "times": np.arange(24.0)})
    entries = np.zeros((1, 2), dtype=[("NAME", object), ("SRATE", object), ("SIGNAL", object)])
    entries[0, 0] = ("AUDIO", 11413.0, np.int16(1000 * np.sin(np.arange(24 * 420)))[:, None])
    entries[0, 1] = ("IMAGE", RATE, last)
    scipy.io.savemat(directory / "mview.mat", {"usc_s1_01": entries})
    for name, block in (("frames.h5", 0), ("new.mat", 512)):
        with h5py.File(directory / name, "w", userblock_size=block) as file:
            file["recon"] = last.transpose() if block else PICTURES
            file["times"] = np.arange(24.0)
    with (directory / "new.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


def _write_listening(directory: Path) -> None:
    systems = [f"sequence={directory / 'sounds' / 'sequence'}", f"floor={directory / 'sounds' / 'floor'}"]
    run_script_here("make_listening_test.py", "--sounds", *systems, "--output_dir", directory)
    shutil.rmtree(directory / "sheet")
    codes = [line.split(",")[0] for line in (directory / "key.csv").read_text(encoding="utf-8").splitlines()[1:]]
    rows = [f"mos,0,listener,{number},{code},,{1 + number % 5}" for number, code in enumerate(codes)]
    head = "kind,seed,listener,trial,first,second,answer"
    miniatures.text(directory / "answers.csv", "\n".join([head, *rows]) + "\n")


# ---- what is done with each ----


def _read_set(file: Path, results: Path, name: str) -> None:
    """Read a public set and write what is said in its clips, as planning and the jobs of the transcripts do."""
    from rtmri_speech.corpora import usc75
    from rtmri_speech.corpora.configured import SETS, set_notes
    from rtmri_speech.evaluation.transcripts import said_in, write_transcript

    place = next(parent for parent in file.parents if parent.parent.name == "sets")
    (inner,) = (path for path in place.iterdir() if path.name != "annot16")
    reading = usc75.read(inner, place / "annot16") if name == "usc75" else SETS[name].read(inner)
    set_notes(reading, name)
    for id, said in said_in(reading.clips, None).items():
        write_transcript(results / f"{id}.json", id, said)


def _cut(file: Path, results: Path) -> None:
    """Cut a recording by its annotation, and write the table and what is said in each clip."""
    from rtmri_speech.corpora.cut import cut_recordings, write_table
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.evaluation.transcripts import said_in, write_transcript
    from rtmri_speech.settings.data import Cutting

    video = file.with_name("a.mp4")
    clips = cut_recordings({"a": Clip("a", video, alignment=file)}, Cutting())
    write_table(results / "clips.tsv", clips)
    for id, said in said_in({clip.id: clip for clip in clips}, None).items():
        write_transcript(results / f"{id}.json", id, said)


def _transcribe(file: Path, results: Path) -> None:
    """Write what a file of ``corpus.phonemes`` says of its clip."""
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.evaluation.transcripts import said_in, write_transcript

    for id, said in said_in({"a": Clip("a", file.with_name("a.mp4"))}, file.parent).items():
        write_transcript(results / f"{id}.json", id, said)


def _read_store(file: Path, results: Path) -> None:
    """Read stored frames, and the sound of a file that has one."""
    from rtmri_speech.dataset.clip import Clip
    from rtmri_speech.dataset.frames import write_frames
    from rtmri_speech.dataset.sound import write_sound

    path = file.parent if file.suffix == ".png" else file
    clip = Clip("a", path, frame_rate=RATE)
    sample = results / "samples" / "a"
    sample.mkdir(parents=True)
    write_frames(sample / "mri.npy", clip, Fraction(11413, 420), (16, 16), "nearest")
    if file.name.startswith("mview"):
        write_sound(results, clip, MelSpec.preset("hifigan", n_fft=512, win_length=512, n_mels=16))


def _compare(file: Path, results: Path) -> None:
    place = next(parent for parent in file.parents if parent.name == "compared")
    names = [place.parent / name for name in RESULTS]
    with contextlib.redirect_stderr(io.StringIO()):
        run_script_here("compare_experiments.py", *names, "--output_dir", results / "compare")


def _count_answers(file: Path, results: Path) -> None:
    place = file.parent
    run_script_here("score_listening_test.py", "--key", place / "key.csv", "--answers", place / "answers.csv")


def _make_sheet(file: Path, results: Path) -> None:
    systems = [f"{name}={file.parents[1] / name}" for name in ("sequence", "floor")]
    run_script_here("make_listening_test.py", "--sounds", *systems, "--output_dir", results / "listening")


# ---- structures in files ----


def _read_json(data: bytes) -> Any:
    return json.loads(data)


def _write_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _read_mat(data: bytes) -> Any:
    content = scipy.io.loadmat(io.BytesIO(data))
    return {name: _plain(value) for name, value in content.items() if not name.startswith("__")}


def _plain(value: np.ndarray) -> Any:
    """A row of structures as a list of dicts."""
    if value.dtype.names is None:
        return value
    return [{name: entry[name] for name in value.dtype.names} for entry in value.reshape(-1)]


def _write_mat(content: Any) -> bytes:
    out = io.BytesIO()
    try:
        scipy.io.savemat(out, {name: _stored(value) for name, value in content.items()})
    except (AttributeError, IndexError, scipy.io.matlab.MatWriteError) as error:
        raise ValueError("nothing that MATLAB writes") from error
    return out.getvalue()


def _stored(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return value
    names = list(dict.fromkeys(str(name)[:31] or "x" for one in value for name in one))
    rows = np.zeros((1, len(value)), dtype=[(name, object) for name in names])
    for place, one in enumerate(value):
        rows[0, place] = tuple(one.get(name, np.zeros(0)) for name in names)
    return rows


def _read_h5(data: bytes) -> Any:
    with h5py.File(io.BytesIO(data), "r") as file:
        return {name: file[name][()] for name in file}


def _write_h5(content: Any) -> bytes:
    out = io.BytesIO()
    if not isinstance(content, dict):
        raise TypeError("no group")
    with h5py.File(out, "w") as file:
        for name, value in content.items():
            if isinstance(value, Shape):
                file.create_dataset(name, value.lengths, "f8", chunks=(1,) * len(value.lengths))
            elif name in file:
                raise ValueError("there already")
            else:
                file[name] = value
    return out.getvalue()


class Shape:
    """A data set of HDF5 that declares a shape and stores nothing."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths


_ROWS = "rtmri"


def _read_sqlite(data: bytes) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(data)
    connection.row_factory = sqlite3.Row
    return [dict(row) for row in connection.execute(f"SELECT * FROM {_ROWS}")]


def _write_sqlite(content: Any) -> bytes:
    connection = sqlite3.connect(":memory:")
    rows = [row for row in content if isinstance(row, dict)]
    if not any(rows):
        raise ValueError("no table")
    names = list(dict.fromkeys(name for row in rows for name in row))
    named = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    try:
        connection.execute(f"CREATE TABLE {_ROWS} ({named})")
    except sqlite3.Error as error:
        raise ValueError("no table") from error
    marks = ", ".join("?" * len(names))
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    connection.executemany(f"INSERT INTO {_ROWS} VALUES ({marks})", cells)
    connection.commit()
    return connection.serialize()


def _cell(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return json.dumps(value) if isinstance(value, dict | list) else value


JSON_VALUES = st.one_of(PLAIN_VALUES, NUMBERS_BEYOND_JSON, st.just(10**400))

STORED = st.sampled_from(
    (
        np.zeros((0, 20, 20)),
        np.zeros((24, 20, 20)),
        np.full((24, 20, 20), np.nan),
        np.full((24, 20, 20), 1e308),
        np.full((24, 20, 20), -1e308),
        np.full((24, 20, 20), complex(np.inf, 0), np.complex64),
        np.zeros((24, 20)),
        np.ones((24, 1, 1)),
        np.ones((1, 20, 20)),
        np.full((24, 20, 20), 2**63, np.uint64),
        np.zeros(0),
        np.zeros(1),
        np.array([np.nan]),
        np.array([np.inf]),
        np.array([-1.0]),
        np.array([1e30]),
        np.array([0.0]),
        np.array(["x", "y"]),
        np.array([], "U1"),
        "AUDIO",
        "IMAGE",
        5,
        -1.5,
    )
)

HUGE = st.sampled_from((Shape(24, 10**6, 10**6), Shape(10**12, 20, 20), Shape(10**9, 10**9, 10**9), Shape(0, 20, 20)))

ROWS = st.one_of(PLAIN_VALUES, st.sampled_from((b"\xff\xfe\0", float("nan"), float("inf"), -1.0, 1e300, 1e-300)))


def _of_sets(name: str, file: str, share: float = 1.0, **more: Any) -> Kind:
    return Kind(
        f"{name}, {Path(file).suffix[1:]}",
        f"sets/{name}/{file}",
        functools.partial(_read_set, name=name),
        share,
        **more,
    )


def _of_json(name: str, file: str, read: Callable, share: float) -> Kind:
    return Kind(name, file, read, share, _read_json, _write_json, JSON_VALUES)


CORPUS_KINDS = [
    _of_sets("usc75", "annot16/sub001/alignments/01_vcv1_r1/sub001_01_vcv1_r1_alignment.textgrid"),
    _of_sets("usc75", "USC 75/trans/vcv1.txt", 0.5),
    _of_sets("usc_timit", "USC-TIMIT/MRI/Data/F1/trans/usctimit_mri_f1_001_005.trans"),
    _of_sets("usc_timit", "USC-TIMIT/MRI/Data/M2/textgrids/usctimit_mri_m2_001_005.TextGrid"),
    _of_sets("usc_lss", "LSS/video/usc_s1_01_2.json", unpack=_read_json, pack=_write_json, values=JSON_VALUES),
    _of_sets("rtmridb", "rtMRIDB/rtMRIDB.sqlite3", 3, unpack=_read_sqlite, pack=_write_sqlite, values=ROWS),
    _of_sets("artspeech", "ArtSpeech/1612/S1/vol_1612_S1.TextGrid"),
    Kind("png of a store", "stores/png/f_002.png", _read_store, 1),
    Kind("npy of a store", "stores/frames.npy", _read_store, 1),
    Kind("mat", "stores/frames.mat", _read_store, 2, _read_mat, _write_mat, STORED),
    Kind("mat of mview", "stores/mview.mat", _read_store, 3, _read_mat, _write_mat, STORED),
    Kind("mat 7.3", "stores/new.mat", _read_store, 1.5),
    Kind("h5", "stores/frames.h5", _read_store, 3, _read_h5, _write_h5, st.one_of(STORED, HUGE)),
    Kind("TextGrid to cut by", "annotated/TextGrid/a.TextGrid", _cut, 1.5),
    Kind("eaf to cut by", "annotated/eaf/a.eaf", _cut, 2),
    Kind("trans to cut by", "annotated/trans/a.trans", _cut, 1.5),
    Kind("labels in json", "annotated/json/a.json", _transcribe, 2, _read_json, _write_json, JSON_VALUES),
    Kind("transcript", "annotated/txt/a.txt", _transcribe, 1),
    *(
        _of_json(name, f"{RESULTS[1]}/{file}", _compare, share)
        for name, file, share in (
            ("scores to compare", "evaluation/scores.json", 1),
            ("settings to compare", "settings.json", 1),
            ("models to compare", "infer/models.json", 0.5),
            ("provenance to compare", "provenance/acoustic.json", 0.5),
        )
    ),
    Kind("csv, key of a listening test", "listening/key.csv", _count_answers, 1.5),
    Kind("csv, answers of a listener", "listening/answers.csv", _count_answers, 2),
    Kind("wav to be listened to", "listening/sounds/sequence/a4.wav", _make_sheet, 1),
]
