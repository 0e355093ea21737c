"""Loads models from checkpoints, for synthesis by torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Precision
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.synthesiser import Synthesiser
from rtmri_speech.training.distributed import chosen_device
from rtmri_speech.vocoder.blocks import MelVocoder
from rtmri_speech.vocoder.engine import load_vocoder

if TYPE_CHECKING:
    from rtmri_speech.acoustic.predict import AcousticBundle


def load_synthesiser(models: Models) -> Synthesiser:
    """Load models for use.

    Parameters
    ----------
    models : files and settings.

    Raises
    ------
    UserError
        A file is unreadable, or the models are incompatible.
    """
    device = chosen_device(models.device)
    names = models.vocoder_names

    def vocoders() -> dict[str, MelVocoder]:
        return {
            name: load_vocoder(file, models.hifigan_config, device, bf16=models.bf16) for name, file in names.items()
        }

    # Reading tensors and importing timm overlap well in two threads.
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(vocoders)
        from rtmri_speech.acoustic.fold import fold_batch_norm
        from rtmri_speech.acoustic.predict import load_acoustic_model

        scaler = Scaler.load(models.scaler_json) if models.scaler_json else None
        precision: Precision = "bfloat16" if models.bf16 else "float32"
        acoustic = load_acoustic_model(models.mri_checkpoint, models.device, scaler=scaler, precision=precision)
        _require_expected(models, acoustic)
        fold_batch_norm(acoustic.model)
        return Synthesiser(acoustic, reading.result(), models.context)


def _require_expected(models: Models, acoustic: AcousticBundle) -> None:
    for name in ("n_mels", "rnn_hidden"):
        expected, held = getattr(models, name), getattr(acoustic.model.network, name)
        if expected not in (None, held):
            flag = "--" + name.replace("_", "-")
            raise UserError(flag, f"is {expected} but {models.mri_checkpoint} has {held}", "leave the flag out")
