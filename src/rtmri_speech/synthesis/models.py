"""Names the models for synthesis and their settings, without loading them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Context


@dataclasses.dataclass(frozen=True)
class Models:
    """The files of a mel generator and one or more vocoders, and their settings.

    Attributes
    ----------
    mri_checkpoint : the mel generator.
    hifigan_checkpoints : generators ``g_<steps>``, or ``.json`` files of vocoders without training; each synthesises
        speech.
    hifigan_config : HiFi-GAN's config; None for the ``config.json`` beside each checkpoint.
    scaler_json : None for the scaler in the mel generator's checkpoint.
    context : what the LSTM sees for a frame: ``sequence``, ``window`` or ``causal``.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    bf16 : use bfloat16 for most of both models.
    n_mels, rnn_hidden : expected settings of the mel generator, if any.
    """

    mri_checkpoint: str
    hifigan_checkpoints: tuple[str, ...]
    hifigan_config: str | None = None
    scaler_json: str | None = None
    context: Context = "sequence"
    device: str = "auto"
    bf16: bool = False
    n_mels: int | None = None
    rnn_hidden: int | None = None

    @property
    def vocoder_names(self) -> dict[str, str]:
        """The checkpoints by short name: the file's, prefixed by its directory's if it is not unique.

        Raises
        ------
        UserError
            Two checkpoints have the same short name.
        """
        files = [Path(checkpoint) for checkpoint in self.hifigan_checkpoints]
        alone = [sum(other.name == file.name for other in files) == 1 for file in files]
        names = [
            file.name if single else f"{file.absolute().parent.name}_{file.name}"
            for file, single in zip(files, alone, strict=True)
        ]
        for name, file in zip(names, files, strict=True):
            if names.count(name) > 1:
                raise UserError(file, f"shares the name {name} with another checkpoint", "give each once")
        return dict(zip(names, self.hifigan_checkpoints, strict=True))
