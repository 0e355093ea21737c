"""Builds a dataset in one process, by the same steps as the workflow.

Steps import their dependencies lazily: a short clip's job is dominated by the start of Python.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.filelists import clips_of, filelist_of, write_filelist
from rtmri_speech.dataset.meta import META, load_mel_spec, read_meta, write_meta
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import FOLDER, write_speakers
from rtmri_speech.dataset.windows import write_window_starts
from rtmri_speech.errors import UserError
from rtmri_speech.settings.data import Audio, Resampling, Video, Windows
from rtmri_speech.signal.mel import MelSpec

TRAINED_SPLITS = ("training", "validation")


@dataclass(frozen=True)
class DatasetSettings:
    """Settings of a dataset: mel, frame size, resampling in time, gain, frames per window."""

    spec: MelSpec
    size: tuple[int, int] = Video.size
    resampling: Resampling = Video.resampling
    gain: float = Audio.gain
    ref_frames: int = Windows.ref_frames


class Processing:
    """The steps that build a processed directory."""

    def __init__(self, processed_dir: Path, settings: DatasetSettings) -> None:
        self.processed_dir, self.settings = processed_dir, settings

    def frames(self, clip: Clip) -> None:
        """Write ``mri.npy`` of a clip."""
        from rtmri_speech.dataset.frames import write_frames

        target, spec = self.processed_dir / "samples" / clip.id / "mri.npy", self.settings.spec
        write_frames(target, clip, spec.frame_rate, self.settings.size, self.settings.resampling, spec.sampling_rate)

    def sound(self, clip: Clip) -> None:
        """Write wav, mel, mask and figure of a clip with existing frames, and report differences in length."""
        from rtmri_speech.dataset.sound import write_sound

        missing = write_sound(self.processed_dir, clip, self.settings.spec, self.settings.gain)
        self.complete(clip.id, missing, clip.title)

    def complete(self, id: str, missing: int, title: str | None = None) -> None:
        """Report frames without sound, or surplus frames of sound, and draw the figure of a clip."""
        from rtmri_speech.dataset.figure import draw_sample

        if missing > 0:
            print(f"{id}: frames without sound at the end, masked: {missing}.")
        elif missing < 0:
            print(f"{id}: frames of sound after the end of the video, left out: {-missing}.")
        sample = open_sample(self.processed_dir, id)
        draw_sample(self.processed_dir / "samples" / id / "figure.png", sample, self.settings.spec, title)

    def scaler(self) -> None:
        """Write ``scaler.json`` from the clips of ``training.txt``."""
        ids = clips_of(self.processed_dir, "training")
        Scaler.of(open_sample(self.processed_dir, id) for id in ids).save(self.processed_dir / "scaler.json")

    def meta(self) -> None:
        """Write ``meta.json``."""
        write_meta(self.processed_dir, self.settings.spec, self.settings.size, self.settings.ref_frames)

    def everything(self, clips: Mapping[str, Clip], splits: Mapping[str, Sequence[str]]) -> int:
        """Build the dataset of ``clips``, split into ``splits``; bad clips are reported and left out.

        Returns 0, or 2 if a clip was left out.

        Raises
        ------
        UserError
            The directory has a dataset of the lab's earlier system or of another mel, or no clip could be processed.
        """
        from tqdm import tqdm

        self._require_own_place()
        made = []
        for clip in tqdm(clips.values(), desc="clips", unit="clip", disable=None):
            try:
                self.frames(clip)
                self.sound(clip)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                continue
            made.append(clip.id)
        if not made:
            raise UserError(self.processed_dir, "no clip could be made", "fix the errors above")
        for split, ids in splits.items():
            write_filelist(filelist_of(self.processed_dir, split), [id for id in ids if id in made])
            if any(clips[id].speaker for id in ids):
                write_speakers(self.processed_dir / FOLDER / f"{split}.json", {id: clips[id].speaker for id in ids})
        self.scaler()
        self.meta()
        for split in TRAINED_SPLITS:
            if not set(splits[split]) & set(made):
                print(f"{split}: no clips, no windows.")
                continue
            write_window_starts(self.processed_dir, split, self.settings.ref_frames)
        print(f"{len(made)} of {len(clips)} clips are in {self.processed_dir}.")
        return 0 if len(made) == len(clips) else 2

    def _require_own_place(self) -> None:
        """Refuse to overwrite a dataset that the same command could not reproduce."""
        meta = self.processed_dir / META
        if not meta.exists():
            return
        remedy = "give another --out_dir, or move the directory away"
        if "mel" not in read_meta(self.processed_dir):
            raise UserError(meta, "belongs to a dataset of the old system, which is not overwritten", remedy)
        try:
            load_mel_spec(self.processed_dir).require_same(self.settings.spec, str(meta), "the flags")
        except UserError as error:
            raise UserError(error.subject, error.fault, remedy) from None
