"""The section of the average maps: of each band, and by phoneme."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtmri_speech.atomic import copy_file
from rtmri_speech.explain.aggregate import TILES
from rtmri_speech.report.template import note
from rtmri_speech.untrusted import read_json, require_type

_AGAIN = "make the averages again (snakemake gradcam)"
_PREFIX = "gradcam_"


def copy_maps(gradcam: Path | None, figures: Path) -> None:
    """Copy the pictures of the averages (`explain.aggregate`) of a Grad-CAM directory, if there are any."""
    for band, _ in _bands(gradcam):
        for path in _pictures(gradcam, band):
            copy_file(path, figures / f"{_PREFIX}{path.name}")


def maps_section(gradcam: Path | None, title: str) -> str:
    """Return the section as HTML; empty without averages.

    Parameters
    ----------
    gradcam : directory of the maps.
    title : of their method.

    Raises
    ------
    UserError
        ``aggregate.json`` is damaged.
    """
    parts = []
    for band, phonemes in _bands(gradcam):
        tiles = [_tile(f"average_{band}.png", 0, 1, f"{band}, all frames", "whole")]
        for place, (phoneme, frames) in enumerate(phonemes):
            caption = f"{phoneme} · {frames} frames"
            tiles.append(_tile(f"phonemes_{band}.png", place, len(phonemes), caption))
        parts.append(f'<h3>{html.escape(band)}</h3><div class="maps">{"".join(tiles)}</div>')
    if not parts:
        return ""
    explanation = note(
        "Mean over the test clips, each with the same weight: over all frames, and over those of one phoneme. Every"
        " picture has its own maximum (yellow); few frames give an uncertain map."
    )
    return (
        f'<section aria-labelledby="maps-title"><h2 id="maps-title">{html.escape(title)}: average by formant band and'
        f" phoneme</h2>{''.join(parts)}{explanation}</section>"
    )


def _bands(gradcam: Path | None) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Each band with its phonemes and their numbers of frames."""
    path = gradcam / "aggregate" / "aggregate.json" if gradcam else None
    if path is None or not path.is_file():
        return
    content = require_type(read_json(path, missing=_AGAIN, remedy=_AGAIN), dict, "its content", path, _AGAIN)
    bands = require_type(content.get("bands"), dict[str, dict[str, Any]], "bands", path, _AGAIN)
    for band, facts in bands.items():
        listed = require_type(facts.get("phonemes", []), list[dict[str, Any]], "phonemes", path, _AGAIN)
        yield (
            band,
            [
                (
                    require_type(one.get("phoneme"), str, "a phoneme", path, _AGAIN),
                    require_type(one.get("frames"), int, "frames", path, _AGAIN),
                )
                for one in listed
            ],
        )


def _pictures(gradcam: Path | None, band: str) -> list[Path]:
    made = [gradcam / "aggregate" / f"{kind}_{band}.png" for kind in ("average", "phonemes")] if gradcam else []
    return [path for path in made if path.is_file()]


def _tile(picture: str, place: int, count: int, caption: str, kind: str = "") -> str:
    """One of ``count`` tiles of a picture, as `explain.aggregate` arranges them, with its caption."""
    columns, rows = min(count, TILES), math.ceil(count / TILES)
    across, down = place % TILES, place // TILES
    position = f"{100 * across / max(columns - 1, 1):.4g}% {100 * down / max(rows - 1, 1):.4g}%"
    style = (
        f"background-image: url('figures/{_PREFIX}{picture}'); background-size: {100 * columns}% {100 * rows}%;"
        f" background-position: {position}"
    )
    caption = html.escape(caption)
    return (
        f'<figure class="{kind}"><div class="tile" role="img" aria-label="{caption}" style="{style}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
