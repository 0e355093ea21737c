"""What speech is made from, what is made, and the files that are left of it; light to import, unlike the models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import (
    AUDIO_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Clip,
    clips_from_table,
    load_frames,
    require_id,
)
from rtmri_speech.dataset.figure import (
    BOTTOM,
    GAP,
    LEFT,
    MEL_HEIGHT,
    TOP,
    WIDTH,
    draw_mel,
    draw_seconds,
    draw_text,
    write_png,
)
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import WavSamples, audio_blocks, track_rate, write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import frames_at_rate


@dataclass(frozen=True)
class Speech:
    """What the models make of a clip.

    Attributes
    ----------
    mel_db : predicted mel, dB, float32 ``(T, n_mels)``.
    audio : samples in [-1, 1] by the vocoder's name, float32 ``(T * hop_length,)`` each.
    """

    mel_db: np.ndarray
    audio: Mapping[str, np.ndarray]


class SpeechModel(Protocol):
    """Models in use, in this process or in another: the mel they predict, the frames they want, and what they make."""

    mel: MelSpec
    frame_size: tuple[int, int]

    def speech(self, frames: Iterable[np.ndarray]) -> Speech:
        """Return the speech of gray frames uint8 ``(H, W)`` of `frame_size`, one a mel frame."""
        ...


@dataclass(frozen=True)
class Source:
    """A clip to make speech of.

    Attributes
    ----------
    id : name of the clip in every file.
    frames : gray, uint8 ``(H, W)`` each, at the mel's frame rate.
    recording : gives the first N samples of its sound at the mel's rate, float32 ``(N,)``; None when it has no sound.
    """

    id: str
    frames: Iterable[np.ndarray]
    recording: Callable[[int], np.ndarray] | None


def corpus_source(processed_dir: str | Path, id: str, spec: MelSpec, max_frames: int | None = None) -> Source:
    """Return a clip of a processed dataset: ``samples/<id>/mri.npy`` and ``wavs/<id>.wav``."""
    mri = load_frames(Path(processed_dir, "samples", require_id(id, "--clips"), "mri.npy"))
    wav = Path(processed_dir, "wavs", f"{id}.wav")

    def recording(samples: int) -> np.ndarray:
        with WavSamples(wav) as sound:
            if sound.sampling_rate != spec.sampling_rate:
                raise UserError(
                    wav,
                    f"has {sound.sampling_rate} Hz where the models have {spec.sampling_rate} Hz",
                    "use one dataset",
                )
            return _of_length(sound[0:samples], samples)

    return Source(id, mri[:max_frames], recording)


def video_source(
    clip: Clip,
    spec: MelSpec,
    frame_size: tuple[int, int],
    *,
    resampling: str = "refuse",
    gain: float = 1.0,
    max_frames: int | None = None,
) -> Source:
    """Return a video, or a stretch of one, with the sound of its own track where it has no other.

    Parameters
    ----------
    clip : which files and which stretch.
    spec : the mel, whose frame rate the frames get.
    frame_size : height and width the models want, pixels.
    resampling : what to do with a video of another rate: ``refuse``, ``nearest`` or ``mean``.
    gain : factor on every sample of the recording.
    max_frames : frames to take at most.
    """
    frames = frames_at_rate(clip.video, spec.frame_rate, resampling, size=frame_size, start=clip.start, end=clip.end)
    sound = clip.audio or (clip.video if track_rate(clip.video) else None)

    def recording(samples: int) -> np.ndarray:
        start = (clip.start or 0.0) + clip.av_offset_ms / 1000
        # Resampled as the dataset's wav is, from the start on: a cut at the end would change the samples before it.
        heard: list[np.ndarray] = []
        for block in audio_blocks(sound, sampling_rate=spec.sampling_rate, start=start):
            heard.append(block)
            if sum(map(len, heard)) >= samples:
                break
        return _of_length(np.concatenate(heard) * np.float32(gain), samples)

    return Source(clip.id, itertools.islice(frames, max_frames), recording if sound else None)


def _of_length(audio: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(audio[:samples], (0, max(samples - len(audio), 0)))


def named_clips(
    videos: Sequence[Path],
    audio: Sequence[Path] | None = None,
    audio_dir: Path | None = None,
    table: Path | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Clip]:
    """Return the clips of videos, of directories of videos and of a TSV, by id: a file's stem.

    Parameters
    ----------
    videos : files and directories.
    audio : the sound of each of ``videos``, which are then files.
    audio_dir : where the sound of others lies, ``<id>.wav`` or ``.flac``; those without one have their own track's.
    table : a TSV of further clips.
    only : ids to take of the table.

    Raises
    ------
    UserError
        Two videos share an id, a directory holds no video, or the sounds are not as many as the videos.
    """
    files = [file for video in videos for file in (_videos_in(video) if video.is_dir() else [video])]
    if audio is not None and len(audio) != len(files):
        raise UserError("--audio", f"names {len(audio)} files for {len(files)} videos", "give one for each, in order")
    sounds = audio or [audio_dir and _sound_beside(audio_dir, file.stem) for file in files]
    clips: dict[str, Clip] = {}
    for file, sound in zip(files, sounds, strict=True):
        if file.stem in clips:
            raise UserError(file, f"has the same name as {clips[file.stem].video}", "rename one, or give a table")
        clips[file.stem] = Clip(file.stem, file, sound)
    if table is not None:
        rows = clips_from_table(table)
        for id in only or rows:
            if id not in rows:
                raise UserError(table, f"names no clip {id!r}", "check --clips")
            clips[id] = rows[id]
    return clips


def _videos_in(directory: Path) -> list[Path]:
    found = sorted(path for path in directory.iterdir() if path.suffix.lower() in VIDEO_EXTENSIONS)
    if not found:
        raise UserError(directory, "holds no video", f"put files ending in {', '.join(VIDEO_EXTENSIONS)} there")
    return found


def _sound_beside(directory: Path, stem: str) -> Path | None:
    paths = (directory / f"{stem}{extension}" for extension in AUDIO_EXTENSIONS)
    return next((path for path in paths if path.is_file()), None)


def speak_each(
    ids: Iterable[str],
    source_of: Callable[[str], Source],
    speaker: SpeechModel,
    output_dir: str | Path,
    say: Callable[[str], None],
) -> None:
    """Make the speech of each clip and write it; one that cannot be read does not keep the others from theirs.

    Raises
    ------
    UserError
        One or more could not be read; raised after the others are written.
    """
    ids, faults = list(ids), []
    for id in ids:
        try:
            source = source_of(id)
            speech = speaker.speech(source.frames)
            write_speech(output_dir, source, speech, speaker.mel)
        except UserError as fault:
            faults.append(fault)
            if len(ids) > 1:
                say(f"error: {fault}")
            continue
        seconds = len(speech.mel_db) / float(speaker.mel.frame_rate)
        alone = "" if source.recording else "; it has no sound, so there is no original"
        say(f"{id}: {seconds:.2f} s of speech in {output_dir}{alone}.")
    if faults:
        first = faults[0]
        many = f" ({len(faults)} of {len(ids)} clips failed)" if len(ids) > 1 else ""
        raise UserError(first.subject, first.fault + many, first.remedy)


def write_speech(output_dir: str | Path, source: Source, speech: Speech, spec: MelSpec) -> None:
    """Write what is left of a clip.

    ``<id>_mel.npy``, dB, and ``<id>_mel_log.npy``, natural logarithm, float32 ``(T, n_mels)``; ``<id>_mel.png``, the
    true mel over the predicted one; ``<id>_original.wav``, the recording, and ``<id>_generated.wav``, both T hops long.
    Without sound there is no original. Of several vocoders, each one's speech goes to a directory of its name.
    """
    output_dir, id = Path(output_dir), source.id
    original = output_dir / f"{id}_original.wav"
    rows = [("predicted", speech.mel_db)]
    if source.recording is None:
        # One of an earlier run would be taken for this video's.
        original.unlink(missing_ok=True)
    else:
        recording = source.recording(len(speech.mel_db) * spec.hop_length)
        write_wav(original, recording, spec.sampling_rate)
        if spec.frames(len(recording)):
            rows.insert(0, ("true", spec.db(spec.mel(recording)).T))
    save_npy(output_dir / f"{id}_mel.npy", speech.mel_db)
    save_npy(output_dir / f"{id}_mel_log.npy", spec.log_from_db(speech.mel_db).astype(np.float32))
    draw_mels(output_dir / f"{id}_mel.png", id, rows, spec)
    for name, audio in speech.audio.items():
        directory = output_dir / name if len(speech.audio) > 1 else output_dir
        write_wav(directory / f"{id}_generated.wav", audio, spec.sampling_rate)


def draw_mels(path: str | Path, title: str, rows: list[tuple[str, np.ndarray]], spec: MelSpec) -> None:
    """Write a PNG of mels in dB ``(T, n_mels)`` below each other, by seconds and Hz, in one scale of colour.

    ``rows`` names each; the last one is as long as the time axis, and the end of a shorter one is dark.
    """
    frames = len(rows[-1][1])
    height = TOP + MEL_HEIGHT
    canvas = np.full((len(rows) * height + BOTTOM, WIDTH, 3), 255, np.uint8)
    ceiling = max(mel_db.max() for _, mel_db in rows)
    for number, (name, mel_db) in enumerate(rows):
        top = number * height + TOP
        shown = np.full((frames, mel_db.shape[1]), -np.inf, np.float32)
        shown[: len(mel_db)] = mel_db[:frames]
        draw_mel(canvas, top, shown, spec, ceiling)
        draw_text(canvas, f"{title}   {name}", (LEFT, top - GAP))
    seconds = frames / float(spec.frame_rate)
    draw_seconds(canvas, len(rows) * height, seconds)
    write_png(path, canvas)
