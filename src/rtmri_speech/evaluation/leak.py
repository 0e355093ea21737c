"""Leak check: refuses to score clips seen in training, and reports stages whose training clips are unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtmri_speech.errors import UserError

_NAMED = 5
"""Maximum number of clips named in the error."""


def require_unseen(clip_ids: Iterable[str], seen: Mapping[str, Iterable[str] | None]) -> list[str]:
    """Refuse to score clips that a training stage saw.

    Parameters
    ----------
    clip_ids : the clips to score.
    seen : name of a stage (``acoustic``, ``vocoder``, ``scaler``) to the clips it was trained or stopped on; None if
        unknown, as for the lab's checkpoints, whose system split by window and so saw every clip.

    Returns
    -------
    Stages whose clips are unknown: scores with them cannot count as held out (`caution`).

    Raises
    ------
    UserError
        Names the seen clips and their stages.
    """
    stages = {stage: frozenset(ids) for stage, ids in seen.items() if ids is not None}
    leaked = {clip: [stage for stage, ids in stages.items() if clip in ids] for clip in dict.fromkeys(clip_ids)}
    seen_by = [f"{clip} by {' and '.join(by)}" for clip, by in leaked.items() if by]
    if seen_by:
        more = f" and {len(seen_by) - _NAMED} more" if len(seen_by) > _NAMED else ""
        raise UserError(
            "leak check",
            f"training has seen {', '.join(seen_by[:_NAMED])}{more}",
            "score test clips only, or train again without these",
        )
    return [stage for stage, ids in seen.items() if ids is None]


def caution(stages: Iterable[str]) -> str | None:
    """Return the warning for scores of ``stages`` whose training clips are unknown; None without any."""
    named = " and ".join(stages)
    if not named:
        return None
    return f"Not held out: {named} may have been trained on these clips, so the scores may be optimistic."
