"""The leak check: a clip that any training stage saw is not scored, and a stage that does not say is told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtmri_speech.errors import UserError

_NAMED = 5
"""Clips that the refusal names; a whole corpus would not be read."""


def require_unseen(clip_ids: Iterable[str], seen: Mapping[str, Iterable[str] | None]) -> list[str]:
    """Refuse to score clips that a training stage saw.

    Parameters
    ----------
    clip_ids : the clips to score.
    seen : name of a stage (``acoustic``, ``vocoder``, ``scaler``) to the clips it was trained or stopped on; None for a
        checkpoint that does not say, such as the lab's, whose system split windows and so saw every clip.

    Returns
    -------
    The stages that do not say: scores with them are not of held-out clips (`caution`).

    Raises
    ------
    UserError
        A clip was seen; names the clips and their stages.
    """
    stages = {stage: frozenset(ids) for stage, ids in seen.items() if ids is not None}
    leaked = {clip: [stage for stage, ids in stages.items() if clip in ids] for clip in dict.fromkeys(clip_ids)}
    told = [f"{clip} by {' and '.join(by)}" for clip, by in leaked.items() if by]
    if told:
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        raise UserError(
            "leak check",
            f"training has seen {', '.join(told[:_NAMED])}{more}",
            "score clips of the test part only, or train again without these",
        )
    return [stage for stage, ids in seen.items() if ids is None]


def caution(stages: Iterable[str]) -> str | None:
    """Return the sentence that scores must carry when ``stages`` do not say which clips they saw; None without any."""
    named = " and ".join(stages)
    if not named:
        return None
    return f"Not held out: what {named} was trained on is not known to leave these clips out, so the scores flatter it."
