"""Leak check: refuses to score clips seen in training, and reports stages whose training clips are unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rtmri_speech.errors import UserError, some_of

_NAMED = 5
"""Maximum number of clips named in the error."""


def require_unseen(
    clip_ids: Iterable[str],
    seen: Mapping[str, Iterable[str] | None],
    groups: Mapping[str, str] | None = None,
    by: str = "clip",
) -> list[str]:
    """Refuse to score clips that a training stage saw, or whose group it saw.

    Parameters
    ----------
    clip_ids : the clips to score.
    seen : name of a stage (``acoustic``, ``vocoder``, ``scaler``) to the clips it was trained or stopped on; None for a
        checkpoint that does not say, such as the lab's, whose system split windows and so saw every clip.
    groups : each clip's group (`grouping.groups_of`), for clips that must not share one; None for none.
    by : what a group has in common, for the refusal.

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
    told = [f"{clip} by {' and '.join(seeing)}" for clip, seeing in leaked.items() if seeing]
    _require_none(told, "training has seen", "score test clips only, or train again without these")
    if groups:
        parted = {stage: {groups.get(id) for id in ids} - {None} for stage, ids in stages.items()}
        shared = {clip: [stage for stage, of in parted.items() if groups.get(clip) in of] for clip in leaked}
        told = [f"of {clip} ({groups[clip]}) by {' and '.join(seeing)}" for clip, seeing in shared.items() if seeing]
        remedy = f"divide the clips by {by} (split.by) and train again"
        _require_none(told, f"training has seen the {by}", remedy)
    return [stage for stage, ids in seen.items() if ids is None]


def _require_none(told: Sequence[str], fault: str, remedy: str) -> None:
    if told:
        raise UserError("leak check", f"{fault} {some_of(told, _NAMED)}", remedy)


def caution(stages: Iterable[str]) -> str | None:
    """Return the warning for scores of ``stages`` whose training clips are unknown; None without any."""
    named = " and ".join(stages)
    if not named:
        return None
    return f"Not held out: {named} may have been trained on these clips, so the scores may be optimistic."
