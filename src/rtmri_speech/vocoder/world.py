"""Speech from a mel and F0 by WORLD's synthesis (Morise, Yokomori and Ozawa, 2016), without a trained vocoder."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.blocks import MelVocoder

WORLD_TITLE = "WORLD"

STEP_SECONDS = 0.005
"""Between the frames given to WORLD, its usual step; the frames of a mel are interpolated."""

_NOISE_ABOVE_HZ, _NOISE_WIDTH_HZ = 4000.0, 1000.0
"""Half of a voiced sound's amplitude is noise at this frequency, more above; the share is a logistic function."""

_LEAST_NOISE = 0.001


class World(MelVocoder):
    """WORLD's synthesis as a vocoder: voiced sounds from a pulse each period, unvoiced ones from noise.

    A mel generator predicts a mean of many spectra, without harmonics, and its speech by `GriffinLim` is a whisper; the
    F0 that it predicts beside the mel (`acoustic.pitch`) is used here.

    Parameters
    ----------
    spec : of its input.
    """

    needs_f0: ClassVar[bool] = True

    def _samples(self, log_mel: np.ndarray, f0: np.ndarray | None) -> np.ndarray:
        if f0 is None:
            raise UserError(
                "the vocoder world",
                "needs F0, which this mel generator does not predict",
                "train one with acoustic: {pitch: true}, or choose another vocoder",
            )
        if len(f0) != log_mel.shape[1]:
            raise UserError("F0", f"has {len(f0)} frames where the mel has {log_mel.shape[1]}", "make both again")
        return np.clip(world(self.spec, log_mel, f0), -1, 1)


def world(spec: MelSpec, log_mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Return a signal with the envelope of a log mel and a given F0.

    Library pyworld. The envelope is interpolated between the mel's frames, ln F0 between voiced frames, and voicing is
    that of the nearest frame. Voiced sounds are pulses in low and noise in high frequencies, as in most voices.

    Parameters
    ----------
    spec : of the mel; its pre-emphasis is undone.
    log_mel : natural log of the linear mel, ``(n_mels, T)``.
    f0 : Hz, 0 where unvoiced, ``(T,)``.

    Returns
    -------
    float32 ``(T * hop_length,)``, in sync with the mel as that of `griffin_lim`.
    """
    import pyworld

    count, rate = log_mel.shape[1], spec.sampling_rate
    samples = count * spec.hop_length
    times = np.arange(round(samples / rate / STEP_SECONDS) + 2) * STEP_SECONDS
    centre = spec.hop_length / 2 if spec.alignment == "centred" else spec.n_fft / 2
    places = np.clip((times * rate - centre) / spec.hop_length, 0, count - 1)
    hertz = np.linspace(0, rate / 2, pyworld.get_cheaptrick_fft_size(rate) // 2 + 1)
    between = np.stack([np.interp(places, np.arange(count), row) for row in log_mel])
    noise = np.clip(1 / (1 + np.exp((_NOISE_ABOVE_HZ - hertz) / _NOISE_WIDTH_HZ)), _LEAST_NOISE, 1)
    track = _interpolated_f0(np.asarray(f0, np.float64), places)
    aperiodicity = np.where(track[:, None] > 0, noise, 1.0)
    # Its noise is drawn from a fixed seed.
    signal = pyworld.synthesize(track, envelopes(spec, between, hertz), aperiodicity, rate, 1000 * STEP_SECONDS)
    return np.pad(signal, (0, max(samples - len(signal), 0)))[:samples].astype(np.float32)


def _interpolated_f0(f0: np.ndarray, places: np.ndarray) -> np.ndarray:
    """F0 at fractional frames ``places``, 0 where the nearest frame is unvoiced."""
    voiced = np.flatnonzero(f0 > 0)
    if not len(voiced):
        return np.zeros(len(places))
    contour = np.exp(np.interp(places, voiced, np.log(f0[voiced])))
    return np.where(f0[np.rint(places).astype(int)] > 0, contour, 0.0)


def envelopes(spec: MelSpec, log_mel: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Return the power spectral density of the sound of a mel, 1 for white noise of variance 1, as WORLD's envelopes.

    The density of a band is its mel over the sum of its filter, squared if the mel is of magnitudes, over the energy of
    the analysis window; between the bands' centres its logarithm is interpolated.

    Parameters
    ----------
    spec : of the mel; its pre-emphasis is undone.
    log_mel : natural log of the linear mel, ``(n_mels, T)``.
    hertz : frequencies of the result, ``(K,)``.

    Returns
    -------
    float64 ``(T, K)``.
    """
    sums = spec.filterbank().sum(1)
    # Of more filters than a transform resolves, some are empty.
    kept = sums > 0
    log_density = np.asarray(log_mel, np.float64)[kept] - np.log(sums[kept])[:, None]
    log_density *= 2 / spec.power
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.win_length) / spec.win_length)
    log_density -= np.log(np.sum(window**2))
    centres = spec.centre_frequencies()[kept]
    density = np.stack([np.interp(hertz, centres, frame) for frame in log_density.T])
    emphasis = np.abs(1 - spec.preemphasis * np.exp(-2j * np.pi * hertz / spec.sampling_rate)) ** 2
    return np.exp(density) / emphasis
