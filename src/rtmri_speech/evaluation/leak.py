"""The leak check: a clip that any training stage saw is not scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtmri_speech.errors import UserError

_NAMED = 5
"""Clips that the refusal names; a whole corpus would not be read."""


def require_unseen(clip_ids: Iterable[str], seen: Mapping[str, Iterable[str]]) -> None:
    """Refuse to score clips that a training stage saw.

    Parameters
    ----------
    clip_ids : the clips to score.
    seen : name of a stage (``acoustic``, ``vocoder``, ``scaler``) to the clips it was trained or stopped on.

    Raises
    ------
    UserError
        A clip was seen; names the clips and their stages.
    """
    stages = {stage: frozenset(ids) for stage, ids in seen.items()}
    leaked = {clip: [stage for stage, ids in stages.items() if clip in ids] for clip in dict.fromkeys(clip_ids)}
    told = [f"{clip} by {' and '.join(by)}" for clip, by in leaked.items() if by]
    if told:
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        raise UserError(
            "leak check",
            f"training has seen {', '.join(told[:_NAMED])}{more}",
            "score clips of the test part only, or train again without these",
        )
