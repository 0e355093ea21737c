"""Speech recognition by Whisper (faster-whisper), from a local model; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.pronunciation import Language, missing_dictionary

RECOGNITION_RATE = 16_000

LEAST_SECONDS = 0.5
"""Minimum duration; on shorter sound Whisper hallucinates."""

_FILES = ("model.bin", "config.json", "tokenizer.json")
_BEAM = 5
_NO_WORD = re.compile(r"[0-9%$£€¥]")


def missing_recognition(language: Language) -> str | None:
    """Return a message with the missing packages, or None."""
    needed = {"faster_whisper": "faster-whisper", "jiwer": "jiwer"}
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    missing += filter(None, [missing_dictionary(language)])
    if not missing:
        return None
    return f"{', '.join(missing)} not installed (in the checkout: pip install -e '.[asr]')"


class Recogniser:
    """Whisper on the CPU, with a beam of 5 and no sampling, so that results are reproducible.

    Numbers are recognised as words, as in transcripts.

    Parameters
    ----------
    model : directory of a model in CTranslate2's format, or the name of one downloaded by faster-whisper before.
    language : spoken.
    threads : CPU threads.

    Raises
    ------
    UserError
        A package is not installed, or there is no such model on this machine.
    """

    def __init__(self, model: str | Path, language: Language, threads: int = 1) -> None:
        if sentence := missing_recognition(language):
            raise UserError(
                "evaluation.asr", f"is {model}, but {sentence}", "install it, or leave evaluation.asr empty"
            )
        from faster_whisper import WhisperModel
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        name = str(model)
        remedy = (
            "give the directory of a Whisper model in CTranslate2's format, or download one by name"
            " (python -c \"import faster_whisper; faster_whisper.download_model('base')\")"
        )
        if Path(name).is_dir() and (lacking := [file for file in _FILES if not (Path(name) / file).is_file()]):
            raise UserError(name, f"holds no {', '.join(lacking)}", remedy)
        try:
            self._whisper = WhisperModel(
                name, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
            )
        except (LocalEntryNotFoundError, HFValidationError, ValueError, RuntimeError) as error:
            raise UserError(
                "evaluation.asr", f"names {name}, which is not a model on this machine ({error})", remedy
            ) from None
        self.language: Language = language
        vocabulary = self._whisper.hf_tokenizer.get_vocab()
        # -1 is Whisper's default set of suppressed tokens.
        self._suppressed = [-1, *(number for token, number in vocabulary.items() if _NO_WORD.search(token))]

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of samples in [-1, 1] at `RECOGNITION_RATE`, float32 ``(N,)``."""
        pieces, _ = self._whisper.transcribe(
            audio,
            language=self.language,
            beam_size=_BEAM,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            suppress_tokens=self._suppressed,
        )
        return " ".join(piece.text.strip() for piece in pieces)
