"""Ridge regression from picture to mel: the closed-form baseline of the mel generator."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.acoustic.principal_axes import principal_axes
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import LOOKUP_SIZE, reduced_frames

RIDGE = "Ridge regression"
"""Name in tables."""

COMPONENTS = 60
"""Principal components of a picture."""

REACH = 2
"""Context frames before and after the predicted frame."""

PENALTIES = np.geomspace(1e-6, 1e2, 33)
"""Candidate penalties, in units of a feature's mean sum of squares."""


class Pictures:
    """What is predicted from: principal components of the training clips' pictures, of a frame and those around it.

    Pictures are gray frames scaled to `LOOKUP_SIZE` pixels a side by area.

    Parameters
    ----------
    processed_dir : the dataset.
    ids : training clips.

    Attributes
    ----------
    width : features of a frame.
    """

    def __init__(self, processed_dir: str | Path, ids: Iterable[str]) -> None:
        reduced = functools.partial(reduced_frames, size=LOOKUP_SIZE)
        self._mean, self._axes, _ = principal_axes(processed_dir, ids, reduced, COMPONENTS)
        self.width = (2 * REACH + 1) * self._axes.shape[1]

    def features(self, frames: np.ndarray) -> np.ndarray:
        """Components of each frame and those around it, float64 ``(T, width)``; the clip's ends are repeated."""
        components = (reduced_frames(frames, LOOKUP_SIZE) - self._mean) @ self._axes
        padded = np.pad(components.astype(np.float64), ((REACH, REACH), (0, 0)), mode="edge")
        return np.concatenate([padded[place : place + len(frames)] for place in range(2 * REACH + 1)], axis=1)


class RidgeMel:
    """Mel of a frame by ridge regression on the pictures around it (`Pictures`).

    The penalty is the one of `PENALTIES` with the least generalised cross-validation error (Golub, Heath and Wahba,
    1979) over the training frames, so that no other clip is needed to choose it.

    Parameters
    ----------
    processed_dir : the dataset.
    ids : training clips; frames without sound are left out.

    Attributes
    ----------
    penalty : the one chosen.
    pictures : what it predicts from.

    Raises
    ------
    UserError
        Fewer than two frames have sound.
    """

    def __init__(self, processed_dir: str | Path, ids: Iterable[str]) -> None:
        processed_dir, ids = Path(processed_dir), list(ids)
        self.pictures = Pictures(processed_dir, ids)
        sums = _Sums(self.pictures.width)
        for id in ids:
            sample = open_sample(processed_dir, id)
            heard = sample.sound_mask > 0
            sums.add(self.pictures.features(sample.mri)[heard], np.asarray(sample.mel_db, np.float64)[heard])
        if sums.frames < 2:
            raise UserError("ridge regression", f"has {sums.frames} training frames with sound", "give more clips")
        self.penalty, self._weights, self._offset = sums.solution()

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Return the mel in dB of the frames ``(T, H, W)`` of one clip, float32 ``(T, n_mels)``."""
        return (self.pictures.features(frames) @ self._weights + self._offset).astype(np.float32)


class RidgeF0:
    """F0 and voicing of a frame by ridge regression on the pictures around it, as `RidgeMel` finds the mel.

    Voicing, 0 or 1, is regressed over the speech frames and voiced above one half; ln F0 over the voiced ones.

    Parameters
    ----------
    processed_dir : the dataset.
    tracks : of each training clip by id, F0 in Hz, 0 where unvoiced and NaN outside of speech, ``(T,)``.
    pictures : what to predict from, as of a `RidgeMel`.

    Raises
    ------
    UserError
        Fewer than two speech frames are voiced.
    """

    def __init__(
        self,
        processed_dir: str | Path,
        tracks: Mapping[str, np.ndarray],
        pictures: Pictures,
    ) -> None:
        self._pictures = pictures
        voicing, logarithm = _Sums(pictures.width), _Sums(pictures.width)
        for id, f0 in tracks.items():
            features, speech, voiced = pictures.features(open_sample(processed_dir, id).mri), ~np.isnan(f0), f0 > 0
            voicing.add(features[speech], voiced[speech, None].astype(np.float64))
            logarithm.add(features[voiced], np.log(f0[voiced, None].astype(np.float64)))
        if logarithm.frames < 2:
            raise UserError("ridge regression", f"has {logarithm.frames} voiced training frames", "give more clips")
        self._voicing, self._logarithm = voicing.solution()[1:], logarithm.solution()[1:]

    def predict(self, frames: np.ndarray) -> np.ndarray:
        """Return the F0 of the frames ``(T, H, W)`` of one clip, Hz, 0 where unvoiced, float64 ``(T,)``."""
        features = self._pictures.features(frames)
        voicing, logarithm = (
            (features @ weights + offset)[:, 0] for weights, offset in (self._voicing, self._logarithm)
        )
        return np.where(voicing > 0.5, np.exp(logarithm), 0.0)


class _Sums:
    """Sufficient statistics of the regression, in constant memory."""

    def __init__(self, width: int) -> None:
        self.frames = 0
        self._features, self._gram = np.zeros(width), np.zeros((width, width))
        # Sums of arrays, from 0 on.
        self._mels: Any = 0.0
        self._products: Any = 0.0
        self._squares: Any = 0.0

    def add(self, features: np.ndarray, mels: np.ndarray) -> None:
        self.frames += len(features)
        self._features += features.sum(0)
        self._gram += features.T @ features
        self._mels = self._mels + mels.sum(0)
        self._products = self._products + features.T @ mels
        self._squares += (mels**2).sum()

    def solution(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Return penalty, weights ``(width, n_mels)`` and offset ``(n_mels,)``."""
        count, bins = self.frames, len(self._mels)
        mean_features, mean_mels = self._features / count, self._mels / count
        gram = self._gram - count * np.outer(mean_features, mean_features)
        products = self._products - count * np.outer(mean_features, mean_mels)
        squares = self._squares - count * (mean_mels**2).sum()
        values, vectors = np.linalg.eigh(gram)
        values = np.maximum(values, 0)
        turned = vectors.T @ products
        power = (turned**2).sum(1)

        def cross_validation_error(penalty: float) -> float:
            residual = squares - (power * (values + 2 * penalty) / (values + penalty) ** 2).sum()
            # The mean takes one degree of freedom.
            freedom = count - 1 - (values / (values + penalty)).sum()
            return residual / bins / max(freedom, 1e-9) ** 2

        unit = max(values.mean(), np.finfo(float).tiny)
        penalty = min((unit * factor for factor in PENALTIES), key=cross_validation_error)
        weights = vectors @ (turned / (values + penalty)[:, None])
        return penalty, weights, mean_mels - mean_features @ weights
