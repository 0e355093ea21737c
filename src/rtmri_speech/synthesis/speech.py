"""Input, result and output files of synthesis; cheap to import, unlike the models."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import (
    AUDIO_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Clip,
    clips_from_table,
    holds_pictures,
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
from rtmri_speech.dataset.sample import load_frames, recording_of
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Resampling
from rtmri_speech.signal.audio import WavSamples, audio_blocks, track_rate, write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import frames_at_rate

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speech:
    """Speech synthesised from a clip.

    Attributes
    ----------
    mel_db : predicted mel, dB, float32 ``(T, n_mels)``.
    f0 : predicted F0, Hz, 0 where unvoiced, float32 ``(T,)``; None if it is not predicted.
    audio : samples in [-1, 1] by the vocoder's name, float32 ``(T * hop_length,)`` each.
    """

    mel_db: np.ndarray
    f0: np.ndarray | None
    audio: Mapping[str, np.ndarray]


class SpeechModel(Protocol):
    """Loaded models, in this process or another: their mel, frame size, speakers and synthesis."""

    mel: MelSpec
    frame_size: tuple[int, int]
    speakers: Sequence[str]

    def spoken_by(self, speaker: str | None) -> Self:
        """Return the model of a speaker's speech; None for one that it does not distinguish."""
        ...

    def speech(self, frames: Iterable[np.ndarray]) -> Speech:
        """Return the speech for gray frames uint8 ``(H, W)`` of `frame_size`, one per mel frame."""
        ...


@dataclass(frozen=True)
class Source:
    """A clip to synthesise.

    Attributes
    ----------
    id : name of the clip in all files.
    frames : gray, uint8 ``(H, W)`` each, at the mel's frame rate.
    recording : returns the first N samples of its sound at the mel's rate, float32 ``(N,)``; None without sound.
    """

    id: str
    frames: Iterable[np.ndarray]
    recording: Callable[[int], np.ndarray] | None


def corpus_source(processed_dir: str | Path, id: str, spec: MelSpec, max_frames: int | None = None) -> Source:
    """Return a clip of a processed dataset: ``samples/<id>/mri.npy`` and ``wavs/<id>.wav``."""
    mri = load_frames(Path(processed_dir, "samples", require_id(id, "--clips"), "mri.npy"))
    wav = recording_of(processed_dir, id)

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
    resampling: Resampling = "refuse",
    gain: float = 1.0,
    max_frames: int | None = None,
) -> Source:
    """Return a video, or an interval of one, with its sound file or else its audio track.

    Parameters
    ----------
    clip : files and interval.
    spec : the mel; frames are resampled to its frame rate.
    frame_size : height and width of the models' input, pixels.
    resampling : handling of a video of another rate: ``refuse``, ``nearest`` or ``mean``.
    gain : factor on every sample of the recording.
    max_frames : maximum number of frames.
    """
    frames = frames_at_rate(
        clip.video,
        spec.frame_rate,
        resampling,
        size=frame_size,
        start=clip.start,
        end=clip.end,
        own_rate=clip.frame_rate,
    )
    sound = clip.audio or (clip.video if track_rate(clip.video) else None)

    def recording(samples: int) -> np.ndarray:
        start = (clip.start or 0.0) + clip.av_offset_ms / 1000
        # Not cut at the end before resampling, which would change the last samples: the dataset's wav must match.
        blocks: list[np.ndarray] = []
        for block in audio_blocks(sound, sampling_rate=spec.sampling_rate, start=start):
            blocks.append(block)
            if sum(map(len, blocks)) >= samples:
                break
        return _of_length(np.concatenate(blocks) * np.float32(gain), samples)

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
    """Return the clips of video files, directories and a TSV, by id (the file's stem).

    Parameters
    ----------
    videos : files and directories.
    audio : sound files, one per video file.
    audio_dir : directory of ``<id>.wav`` or ``.flac``; videos without one use their audio track.
    table : a TSV of further clips.
    only : ids to select from the table.

    Raises
    ------
    UserError
        Two videos share an id, a directory has no video, or the numbers of sounds and videos differ.
    """
    files = [
        file
        for video in videos
        for file in (_videos_in(video) if video.is_dir() and not holds_pictures(video) else [video])
    ]
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
    speakers: Mapping[str, str | None],
    source_of: Callable[[str], Source],
    model: SpeechModel,
    output_dir: str | Path,
) -> None:
    """Synthesise and write each clip, continuing after clips that cannot be read.

    Parameters
    ----------
    speakers : of each clip by id, as of `dataset.speakers.known_speakers`.
    source_of : returns a clip.
    model : the models.
    output_dir : see `write_speech`.

    Raises
    ------
    UserError
        Some could not be read; raised after the others are written.
    """
    ids, faults = list(speakers), []
    for id in ids:
        try:
            source = source_of(id)
            speech = model.spoken_by(speakers[id]).speech(source.frames)
            write_speech(output_dir, source, speech, model.mel)
        except UserError as fault:
            faults.append(fault)
            if len(ids) > 1:
                _log.info(f"error: {fault}")
            continue
        seconds = len(speech.mel_db) / float(model.mel.frame_rate)
        alone = "" if source.recording else "; it has no sound, so there is no original"
        print(f"{id}: {seconds:.2f} s of speech in {output_dir}{alone}.", flush=True)
    if faults:
        first = faults[0]
        many = f" ({len(faults)} of {len(ids)} clips failed)" if len(ids) > 1 else ""
        raise UserError(first.subject, first.fault + many, first.remedy)


def write_speech(output_dir: str | Path, source: Source, speech: Speech, spec: MelSpec) -> None:
    """Write the output files of a clip.

    ``<id>_mel.npy``, dB, and ``<id>_mel_log.npy``, natural logarithm, float32 ``(T, n_mels)``; ``<id>_f0.npy``, Hz, 0
    where unvoiced, float32 ``(T,)``, if it is predicted; ``<id>_mel.png``, the true mel over the predicted one;
    ``<id>_original.wav``, the recording, and ``<id>_generated.wav``, both T hops long.
    Without sound there is no original. With several vocoders, each one's speech is in a subdirectory of its name.
    """
    output_dir, id = Path(output_dir), source.id
    original = output_dir / f"{id}_original.wav"
    rows = [("predicted", speech.mel_db)]
    if source.recording is None:
        # Remove an earlier run's, which would be mistaken for this video's.
        original.unlink(missing_ok=True)
    else:
        recording = source.recording(len(speech.mel_db) * spec.hop_length)
        write_wav(original, recording, spec.sampling_rate)
        if spec.frames(len(recording)):
            rows.insert(0, ("true", spec.db(spec.mel(recording)).T))
    save_npy(output_dir / f"{id}_mel.npy", speech.mel_db)
    save_npy(output_dir / f"{id}_mel_log.npy", spec.log_from_db(speech.mel_db).astype(np.float32))
    if speech.f0 is not None:
        save_npy(output_dir / f"{id}_f0.npy", speech.f0)
    draw_mels(output_dir / f"{id}_mel.png", id, rows, spec)
    for name, audio in speech.audio.items():
        directory = output_dir / name if len(speech.audio) > 1 else output_dir
        write_wav(directory / f"{id}_generated.wav", audio, spec.sampling_rate)


def draw_mels(path: str | Path, title: str, rows: list[tuple[str, np.ndarray]], spec: MelSpec) -> None:
    """Write a PNG of stacked mels in dB ``(T, n_mels)``, with axes in seconds and Hz and a common colour scale.

    ``rows`` names each; the last one sets the time axis, and shorter ones end dark.
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
