"""The public sets in miniature: a few clips of a quarter of a second each, in the layout of the archives."""

import json
import sqlite3
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video


def pictures(frames, size, seed=0, dtype=np.uint8):
    """A bright bar that moves up and down."""
    place = (np.sin(np.arange(frames) / 3 + seed) + 1) / 2
    rows = np.arange(size)[None, :, None] / size
    bar = np.exp(-(((rows - place[:, None, None]) / 0.1) ** 2)) * np.ones((1, 1, size))
    return (20 + (3000 if dtype == np.uint16 else 200) * bar).astype(dtype)


def sound(seconds, rate, seed=0):
    return 0.3 * np.sin(2 * np.pi * (220 + 20 * seed) * np.arange(round(seconds * rate)) / rate)


def wav(path, seconds, rate, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, sound(seconds, rate, seed), rate)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def avi(path, frames, rate, size, seed=0, seconds_of_sound=None):
    """Uncompressed pictures in an avi, as recorded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("rawvideo", rate=rate)
        stream.width = stream.height = size
        stream.pix_fmt = "bgr24"
        track = container.add_stream("pcm_s16le", rate=20000, layout="mono") if seconds_of_sound else None
        for picture in pictures(frames, size, seed):
            frame = av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, axis=-1), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            samples = np.int16(sound(seconds_of_sound, 20000, seed) * 32767)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 20000
            container.mux(track.encode(frame))
            container.mux(track.encode(None))


def textgrid(tiers, end, short=False):
    """Tiers of (start, end, label) rows in Praat's format; what lies between is empty."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += (
        ["0", str(end), "<exists>", str(len(tiers))]
        if short
        else ["xmin = 0", f"xmax = {end}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    )
    for number, (name, rows) in enumerate(tiers.items(), 1):
        if short:
            lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(rows))]
            for row in rows:
                lines += [str(row[0]), str(row[1]), f'"{row[2]}"']
        else:
            lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
            lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(rows)}"]
            for place, row in enumerate(rows, 1):
                lines += [f"        intervals [{place}]:", f"            xmin = {row[0]}"]
                lines += [f"            xmax = {row[1]}", f'            text = "{row[2]}"']
    return "\n".join(lines) + "\n"


USC75_RATE = Fraction(1_000_000, 12_008)
USC75_TASKS = ("01_vcv1_r1", "01_vcv1_r2", "05_shibboleth_r1", "12_picture1")


def usc75(root: Path) -> Path:
    """Three speakers with four clips each; of the second the sound is the video's own; Annot-16 has the first."""
    folder = root / "USC 75"
    for seed, speaker in enumerate(("sub001", "sub002", "sub003")):
        for task in USC75_TASKS:
            base = folder / speaker / "2drt"
            track = sound(0.4, 22050, seed) if seed == 1 else None
            (base / "video").mkdir(parents=True, exist_ok=True)
            write_video(
                base / "video" / f"{speaker}_2drt_{task}_video.mp4", pictures(25, 84, seed), USC75_RATE, track, 22050
            )
            if seed != 1:
                wav(base / "audio" / f"{speaker}_2drt_{task}_audio.wav", 0.4, 20000, seed)
    text(folder / "trans" / "vcv1.txt", "apa ata\n aka\n")
    text(folder / "trans" / "shibboleth.txt", "She had your dark suit.")
    for task in USC75_TASKS:
        path = root / "annot16" / "sub001" / "alignments" / task / f"sub001_{task}_alignment.textgrid"
        # Half a second longer than the clip.
        text(path, textgrid({"phones": [(0, 0.1, "sil"), (0.1, 0.2, "AA1"), (0.2, 0.8, "P")]}, 0.8, short=True))
    return folder


def usc_timit(root: Path) -> Path:
    """Two speakers with two files of five sentences; the second speaker has no transcripts but for one TextGrid."""
    folder = root / "USC-TIMIT" / "MRI" / "Data"
    for seed, speaker in enumerate(("F1", "M2")):
        for first in (1, 6):
            stem = f"usctimit_mri_{speaker.lower()}_{first:03d}_{first + 4:03d}"
            avi(folder / speaker / "avi" / f"{stem}.avi", 48, Fraction(2318, 100), 68, seed)
            wav(folder / speaker / "wav" / f"{stem}.wav", 48 / 23.18, 20000, seed)
            spoken = [(f"sentence {first + k}, said", 0.05 + 0.4 * k, 0.35 + 0.4 * k) for k in range(5)]
            if speaker == "F1":
                rows = [
                    f"{start + 0.1 * p:.2f},{start + 0.1 * p + 0.1:.2f},{'ss'[p // 2]},word,{sentence},{first + k}"
                    for k, (sentence, start, _) in enumerate(spoken)
                    for p in range(3)
                ]
                text(folder / speaker / "trans" / f"{stem}.trans", "\n".join(rows) + "\n")
            elif first == 1:
                rows = [(round(start, 2), round(end, 2), sentence) for sentence, start, end in spoken]
                text(folder / speaker / "textgrids" / f"{stem}.TextGrid", textgrid({"Sentences": rows}, 2.2))
    (folder / "F1" / "avi" / "notes_f1.avi").write_bytes(b"")
    return root / "USC-TIMIT"


def usc_lss(root: Path) -> Path:
    """Six utterances with their sound; one description is of an unknown form."""
    folder = root / "LSS"
    for number in range(6):
        stem = f"usc_s1_{1 + number // 3:02d}_{1 + number % 3}"
        avi(folder / "video" / f"{stem}.avi", 30, Fraction(99), 104, number, seconds_of_sound=30 / 99)
        phones = [{"start": 0.0, "end": 0.1, "phone": "s"}, {"start": 0.1, "end": 0.3, "phone": "iy"}]
        content = {"phones": phones, "words": [[0.0, 0.3, f"word{number}"]]} if number else {"gold": "unknown"}
        text(folder / "video" / f"{stem}.json", json.dumps(content))
    return folder


def atr503(root: Path) -> Path:
    """Five sentences of 16-bit pictures; of another there is no sound."""
    folder = root / "realTimeMRI_ATR503"
    for number in range(1, 7):
        id = f"a{number:02d}"
        (folder / "PNG" / id).mkdir(parents=True)
        for frame, picture in enumerate(pictures(12, 256, number, np.uint16)):
            (folder / "PNG" / id / f"{id}_{frame:04d}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        if number < 6:
            wav(folder / "WAV" / f"{id}.WAV", 12 * 736 / 20000, 20000, number)
    return root


def rtmridb(root: Path) -> Path:
    """Three subjects with a video each and four stretches in it, one twice; two rows that are no clips."""
    folder = root / "rtMRIDB"
    rows = []
    for seed, subject in enumerate(("s1", "s2", "s3")):
        file = f"{subject}_発話"
        (folder / "rtmridb_v1_mp4").mkdir(parents=True, exist_ok=True)
        video = folder / "rtmridb_v1_mp4" / f"{file}.mp4"
        write_video(video, pictures(60, 64, seed), Fraction(27), sound(60 / 27, 20000, seed), 20000)
        for number, word in enumerate(("あさ", "いえ", "あさ", "うみ")):
            rows.append((file, 0.1 + 0.5 * number, 0.5 + 0.5 * number, "romaji", word, subject, 27.0))
    rows += [("absent", 0.0, 1.0, "x", "x", "s1", 27.0), (rows[0][0], None, None, "x", "x", "s1", 27.0)]
    with sqlite3.connect(folder / "rtMRIDB.sqlite3") as database:
        database.execute(
            'CREATE TABLE rtmri (id INTEGER PRIMARY KEY, file, start, "end", text, jtext, subject, fps, dialect)'
        )
        database.executemany(
            'INSERT INTO rtmri (file, start, "end", text, jtext, subject, fps) VALUES (?, ?, ?, ?, ?, ?, ?)', rows
        )
    database.close()
    return folder


def artspeech(root: Path) -> Path:
    """Two speakers with a session of three sentences; a third session has no TextGrid, a fourth no sound."""
    folder = root / "ArtSpeech"
    for seed, (speaker, session, name) in enumerate(
        [("1612", "S1", "vol_1612_S1"), ("1635", "S10", "1635_S10"), ("1635", "S11", "1635_S11"), ("1635", "S12", None)]
    ):
        place = folder / speaker / session
        (place / "NPY_MR").mkdir(parents=True)
        for number, picture in enumerate(pictures(80, 136, seed, np.uint16), 1):
            np.save(place / "NPY_MR" / f"{number:04d}.npy", picture)
        if name is None:
            continue
        wav(place / f"{name}.wav", 1.56, 16000, seed)
        if session != "S11":
            sentences = [
                (0.0, 0.4, "été"),
                (0.4, 0.5, "#"),
                (0.5, 0.9, "bon jour"),
                (1.0, 1.4, "là"),
                (1.9, 2.3, "fin"),
            ]
            words = [(0.5, 0.7, "bon"), (0.7, 0.9, "jour")]
            phones = [(0.5, 0.6, "b"), (0.6, 0.9, "o~")]
            grid = textgrid({"PhonTier": phones, "WordTier": words, "SentenceTier": sentences}, 2.4)
            ending = "TextGrid" if session == "S1" else "textgrid"
            grid_name = f"{name}.{ending}" if session == "S1" else f"{name}_adjusted.{ending}"
            (place / grid_name).write_bytes(grid.encode("latin-1"))
    return folder


SETS = {
    "usc75": usc75,
    "usc_timit": usc_timit,
    "usc_lss": usc_lss,
    "atr503": atr503,
    "rtmridb": rtmridb,
    "artspeech": artspeech,
}
