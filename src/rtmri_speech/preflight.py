"""Checks before any job that the files named in a configuration exist, can be read, and are consistent.

`check_named` runs while the workflow is planned, without torch; `check_models` builds and reads the models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.recognition import missing_recognition
from rtmri_speech.evaluation.transcripts import Said, phonemes_and_text
from rtmri_speech.paths import of_checkout
from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.use import Mask
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.config import CONFIG_NAME, read_config
from rtmri_speech.vocoder.interpolation import require_fit
from rtmri_speech.vocoder.naming import discriminators_beside

_FILES = (
    "lab.mri_checkpoint",
    "lab.hifigan_checkpoint",
    "lab.hifigan_config",
    "acoustic.cnn_pretrained",
    "acoustic.resume_ckpt",
    "vocoder.config",
    "vocoder.base",
    "base_vocoder.config",
    "base_vocoder.base",
    "synthesis.mri_checkpoint",
    "synthesis.scaler_json",
    "synthesis.hifigan_checkpoint",
    "synthesis.hifigan_config",
    "explain.regions",
)
"""Settings that name a file."""


def check_named(settings: Settings, checkout: Path, said: Iterable[Said]) -> None:
    """Refuse a configuration that names what is not there, cannot be read, or does not fit; nothing is written.

    Parameters
    ----------
    settings : as `load_configuration` returns them.
    checkout : where names that are relative to the repository are looked up too.
    said : the sources of what is said in the test clips; they are read.

    Raises
    ------
    UserError
        A file or directory is missing or of the wrong kind, a JSON file or TextGrid is malformed, the vocoder's config
        has another mel than the dataset, or the F0 range is unusable.
    """
    results = settings.results

    def found(key: str, name: Path) -> Path:
        path = of_checkout(name, checkout)
        if not path.is_file() and not name.is_relative_to(results):
            raise UserError(key, f"names {name}, and there is no such file", "check the path")
        return path

    for key in ("results", "dataset", "vocoder.archive"):
        name = _value(settings, key)
        if name and name.exists() and not name.is_dir():
            raise UserError(key, f"names {name}, which is not a directory", "give another path")
    files = {key: found(key, name) for key in _FILES if isinstance(name := _value(settings, key), Path)}
    for section in ("vocoder", "base_vocoder"):
        base, config = files.get(f"{section}.base"), files[f"{section}.config"]
        if base and not (config.is_file() and read_config(config).discriminator_start is None):
            found(f"{section}.base", discriminators_beside(base))
    _check_vocoder_config(settings, files)
    _check_polygons(settings.synthesis.masks, files.get("explain.regions"), found)
    for one in said:
        phonemes_and_text(one)
    asr, language = settings.evaluation.asr, settings.evaluation.language
    if asr and (sentence := missing_recognition(language)):
        raise UserError("evaluation.asr", f"is {asr}, but {sentence}", "install what is missing, or leave it empty")
    if settings.synthesis.vocoder == "world" and not (settings.acoustic.pitch or settings.synthesis.mri_checkpoint):
        raise UserError(
            "synthesis.vocoder", "is world, which needs F0", "add acoustic: {pitch: true}, or choose another vocoder"
        )
    if given := settings.evaluation.f0_range:
        # Imports the audio readers, which planning otherwise does not need.
        from rtmri_speech.evaluation.f0_range import require_f0_range

        require_f0_range(*given, settings.mel.sampling_rate)


def _value(settings: Settings, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name) if name else getattr(settings, section)


def _check_vocoder_config(settings: Settings, files: Mapping[str, Path]) -> None:
    """Check that the vocoder's config has the dataset's mel, as far as can be determined without its weights."""
    if settings.synthesis.vocoder != "hifigan":
        # No vocoder is trained or used.
        return
    path, given = files["vocoder.config"], files.get("synthesis.hifigan_checkpoint")
    if given:
        path = files.get("synthesis.hifigan_config", given.with_name(CONFIG_NAME))
    if not path.is_file() and path.is_relative_to(settings.results):
        return
    config, spec = read_config(path), MelSpec.of(settings.mel)
    if config.mel is None and config.padding is None:
        # Which of the two is determined by the weights.
        config = dataclasses.replace(config, padding="lab" if settings.mel.preset == "lab" else "official")
    if given:
        require_fit(config.spec, spec, str(path), "the dataset (mel)")
        return
    try:
        config.spec.require_same(spec, str(path), "the dataset (mel)")
    except UserError as error:
        remedy = "name a config of the dataset's mel (vocoder.config), or change mel"
        raise UserError(error.subject, error.fault, remedy) from None


def _check_polygons(masks: Mapping[str, Mask], regions: Path | None, found: Any) -> None:
    if not masks and regions is None:
        return
    # Imports OpenCV, which planning without polygons does not need.
    from rtmri_speech.explain.masking import ARTICULATORS, REFERENCE_SIZE, mask_weight, read_polygons
    from rtmri_speech.explain.regions import Regions

    if regions is not None:
        Regions.read(regions)
    for name, mask in masks.items():
        key = f"synthesis.masks.{name}"
        if mask.type == "custom":
            if mask.polygons is None:
                raise UserError(f"{key}.polygons", "is empty", "name a JSON file of polygons, or another type")
            polygons = read_polygons(found(f"{key}.polygons", mask.polygons))
        else:
            polygons = ARTICULATORS[mask.type]
        try:
            mask_weight(polygons, (REFERENCE_SIZE, REFERENCE_SIZE), mask.alpha, mask.blur_kernel)
        except UserError as error:
            raise UserError(key, f"{error.subject} {error.fault}", error.remedy) from None


def check_models(
    spec: MelSpec,
    network: Mapping[str, Any] | None,
    *,
    pretrained: Path | None = None,
    resume_ckpt: Path | None = None,
    base: Path | None = None,
    vocoder_config: Path | None = None,
    mri_checkpoint: Path | None = None,
    scaler_json: Path | None = None,
    hifigan_checkpoint: Path | None = None,
    hifigan_config: Path | None = None,
    distinguishes_speakers: bool = False,
) -> None:
    """Build the mel generator to train and read the given checkpoints; refuse inconsistent ones.

    Parameters
    ----------
    spec : the dataset's mel.
    network : settings of `rtmri_speech.acoustic.model.Network`; None where no mel generator is trained.
    pretrained, resume_ckpt : its initial weights.
    base, vocoder_config : the vocoder's initial weights and config.
    mri_checkpoint, scaler_json, hifigan_checkpoint, hifigan_config : models used without training.
    distinguishes_speakers : whether jobs name the speakers of their clips.

    Raises
    ------
    UserError
        timm has no such backbone, or a file is not a checkpoint of its kind, has another mel or other neighbours, or
        distinguishes speakers that no job names.
    """
    from rtmri_speech.acoustic.model import AcousticModel, Network, load_pretrained_backbone
    from rtmri_speech.acoustic.predict import load_acoustic_model, read_acoustic_checkpoint, require_neighbours
    from rtmri_speech.dataset.scaler import Scaler
    from rtmri_speech.vocoder.checkpoint import config_of, read_generator

    if network is not None:
        model = AcousticModel(Network(n_mels=spec.n_mels, speakers=1, **network))
        if pretrained is not None:
            load_pretrained_backbone(model, pretrained)
    if resume_ckpt is not None:
        content = read_acoustic_checkpoint(resume_ckpt, memory_map=True)
        if network is not None:
            require_neighbours(content, network.get("neighbours", 0), resume_ckpt)
        if "mel" in content:
            MelSpec.from_dict(content["mel"], str(resume_ckpt)).require_same(spec, str(resume_ckpt), "the dataset")
    if mri_checkpoint is not None:
        scaler = None if scaler_json is None else Scaler.load(scaler_json)
        bundle = load_acoustic_model(mri_checkpoint, "cpu", scaler=scaler, mel=spec)
        if bundle.speakers and not distinguishes_speakers:
            raise UserError(
                mri_checkpoint,
                "was trained to distinguish speakers",
                "set acoustic: {speaker_statistics: true}, so that jobs name the speaker",
            )
    if hifigan_checkpoint is not None:
        _, named = read_generator(hifigan_checkpoint, config_of(hifigan_checkpoint, hifigan_config))
        require_fit(named.spec, spec, str(hifigan_checkpoint), "the dataset (mel)")
    if base is not None:
        _, named = read_generator(base, config_of(base, vocoder_config))
        named.spec.require_same(spec, str(base), "the dataset (mel)")
