"""Tables of how far maps can be believed (`rtmri_speech.explain.check`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rtmri_speech.tables import markdown_table, shown, with_interval

MEASURES = {
    "randomised": "randomised network ↓",
    "randomised_average": "the same, average map ↓",
    "deletion": "deletion ↑",
    "insertion": "insertion ↑",
    "peaks": "peaks in the tract ↑",
    "masking": "masking study ↑",
    "truth": "synthesiser's truth ↑",
    "truth_randomised": "randomised network's map",
    "truth_network": "network's response ↑",
}
"""Measures by name, with their headings."""

CONTRASTS = {"contrast": "synthesiser", "contrast_network": "network"}

JUDGED = ("deletion", "insertion", "peaks", "masking", "truth", "truth_network")
"""Measures of which more is better; the map that leads in most of them, counted by band, does best."""


def faithfulness_table(found: Mapping[str, Any]) -> str:
    """Return the measures as Markdown: what does best, a line per map and band, and the cascade.

    Parameters
    ----------
    found : of `check`.
    """
    methods = found["methods"]
    known = [name for name in MEASURES if any(name in band for of in methods.values() for band in of["bands"].values())]
    contrasts = [name for name in CONTRASTS if any(name in of for of in methods.values())]
    bands = next(iter(methods.values()))["bands"]
    head = ["map", "band", *(MEASURES[name] for name in known)]
    head += [f"{' against '.join(bands)}: {CONTRASTS[name]} ↑" for name in contrasts]
    lines = [
        [
            title if not number else "",
            band,
            *(_cell(values.get(name)) for name in known),
            *(_cell(of.get(name)) if not number else "" for name in contrasts),
        ]
        for title, of in methods.items()
        for number, (band, values) in enumerate(of["bands"].items())
    ]
    steps = list(
        dict.fromkeys(step for of_bands in found["cascade"].values() for of in of_bands.values() for step in of)
    )
    cascade = [
        [title if not number else "", band, *(_cell(of[step]) for step in steps)]
        for title, of_bands in found["cascade"].items()
        for number, (band, of) in enumerate(of_bands.items())
    ]
    return "\n\n".join(
        [
            _best(methods),
            markdown_table(head, lines),
            f"Rank correlation of the maps of clip {found['clips'][0]} with those of a network that is random from the"
            " output on:",
            markdown_table(["map", "band", *steps], cascade),
            *(_movements(found["movements"]) if "movements" in found else []),
        ]
    )


def _movements(found: Mapping[str, Any]) -> list[str]:
    """What each movement changes in the sound and in the prediction."""
    names = next(iter(found.values()))["synthesiser"]
    head = ["movement", *(f"{band}, {whose}" for band in found for whose in ("synthesiser", "network"))]
    lines = [
        [name, *(_cell(of[whose][name]) for of in found.values() for whose in ("synthesiser", "network"))]
        for name in names
    ]
    ranks = ", ".join(f"{_cell(of['rank_correlation'])} in {band}" for band, of in found.items())
    return [
        "Each movement's share of the change of a band's power, in the synthesiser's sound and in the network's"
        f" prediction (rank correlation of the two {ranks}):",
        markdown_table(head, lines),
    ]


def leaders(methods: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the map that leads in each of `JUDGED` and each band, of those that a model makes."""
    found: dict[tuple[str, str], str] = {}
    for band in next(iter(methods.values()))["bands"]:
        for name in JUDGED:
            values = {
                title: mean
                for title, of in methods.items()
                if of["model"] and (mean := _mean(of["bands"][band].get(name))) is not None
            }
            if values:
                found[name, band] = max(values, key=values.__getitem__)
    return found


def _best(methods: Mapping[str, Any]) -> str:
    led = leaders(methods)
    best = max(methods, key=lambda title: sum(leader == title for leader in led.values()))
    count = sum(leader == best for leader in led.values())
    no_better = [
        f"{MEASURES[name].rstrip(' ↑')} of {band}"
        for name, band in led
        for of in methods.values()
        if not of["model"] and _at_least(of["bands"][band][name], methods[best]["bands"][band][name])
    ]
    sentence = f"The map that does best is **{best}**: it leads in {count} of {len(led)} columns of a band."
    if no_better:
        sentence += f" What moves, without any model, is as good in {', '.join(no_better)}."
    return sentence


def _at_least(value: Any, other: Any) -> bool:
    means = _mean(value), _mean(other)
    return None not in means and means[0] >= means[1]


def _mean(value: Mapping[str, float | None] | float | None) -> float | None:
    mean = value["mean"] if isinstance(value, Mapping) else value
    return None if mean is None or math.isnan(mean) else mean


def _cell(value: Mapping[str, float | None] | float | None) -> str:
    return with_interval(value, 2) if isinstance(value, Mapping) else shown(value, 2)
