"""The report's figures: scores by system, error by frequency and phoneme, loss curves, and mels for playback.

Plots are drawn for a light and a dark page; the page selects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtmri_speech.atomic import replacing
from rtmri_speech.report.measures import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours of a page: text, lines, background, and rows."""

    name: str
    ink: str
    faint: str
    paper: str
    rows: Mapping[str, str]


LIGHT = Theme(
    "light",
    "#22262b",
    "#d9dcdf",
    "#ffffff",
    {"generated": "#2a6fb0", "ceiling": "#11806a", "look_up": "#8258b5", "floor": "#b4541f", "other": "#7b838c"},
)
DARK = Theme(
    "dark",
    "#e6e9ec",
    "#3a4148",
    "#1b1f24",
    {"generated": "#6cb2f2", "ceiling": "#4cc6a8", "look_up": "#b796e6", "floor": "#ef9a63", "other": "#8e979f"},
)


@dataclass(frozen=True)
class Curves:
    """Loss curves of a training: title, x unit, measure, and TensorBoard tag to label."""

    title: str
    unit: str
    measure: str
    tags: Mapping[str, str]


LOSS_TAGS = {
    "acoustic": Curves(
        "Mel generator", "epoch", "mel MSE", {"metrics/train_mse": "training", "metrics/val_mse": "validation"}
    ),
    "vocoder": Curves(
        "Vocoder",
        "step",
        "L1 of the log mel",
        {"training/mel_spec_error": "training", "validation/mel_spec_error": "validation"},
    ),
}
"""The trainings whose logs are drawn."""

_RANGE_DB = 70.0
_MOST_PHONEMES = 40


def draw_plots(
    scores: Mapping[str, Any], logs: Mapping[str, Path], directory: Path, phonemes: bool = False
) -> dict[str, str]:
    """Write ``<name>_light.png`` and ``<name>_dark.png`` of every plot; one without data shows a notice.

    Parameters
    ----------
    scores : as `evaluation.systems.score_sounds` returns them.
    logs : key of `LOSS_TAGS` to a directory of TensorBoard event files.
    phonemes : whether to draw the error by phoneme.

    Returns
    -------
    Name of each plot to its caption.
    """
    import matplotlib

    matplotlib.use("Agg")
    drawn: dict[str, str] = {}

    def draw(name: str, caption: str, plot: Callable[[Theme], Figure]) -> None:
        for theme in (LIGHT, DARK):
            _save(plot(theme), directory / f"{name}_{theme.name}.png")
        drawn[name] = caption

    draw(
        "systems",
        "Mean of each system over the test clips with its 95 % interval; the arrow points to better values.",
        lambda theme: _systems(scores, theme),
    )
    if scores["mel_mse_by_bin"]:
        draw(
            "error_by_band",
            "Squared error of the standardised mel by frequency, over all frames of the test clips.",
            lambda theme: _by_band(scores, theme),
        )
    if phonemes:
        draw(
            "error_by_phoneme",
            "Squared error of the standardised mel by the phoneme spoken, worst first, with its number of frames.",
            lambda theme: _by_phoneme(scores, theme),
        )
    for training, directory_of_log in logs.items():
        curves = LOSS_TAGS[training]
        draw(
            f"loss_{training}",
            f"{curves.title}: {curves.measure} by {curves.unit}, {' and '.join(curves.tags.values())}.",
            partial(_losses, read_scalars(directory_of_log, curves.tags), curves),
        )
    return drawn


def read_scalars(directory: Path, tags: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) points of each of ``tags`` present in a TensorBoard log."""
    if not any(directory.glob("events.out.tfevents.*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    log.Reload()
    known = set(log.Tags()["scalars"])
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in tags if tag in known}


def row_colour(row: str, scores: Mapping[str, Any], theme: Theme) -> str:
    """Return the colour of a row: of ``generated`` for the configured system, of the look-up for its baseline."""
    if row == scores.get("baseline"):
        return theme.rows["look_up"]
    return theme.rows["generated"] if row == scores["configured"] else theme.rows.get(row, theme.rows["other"])


def _new(theme: Theme, width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=160, facecolor=theme.paper, layout="constrained")
    axes = [figure.add_subplot(1, columns, column + 1) for column in range(columns)]
    for axis in axes:
        axis.set_facecolor(theme.paper)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(theme.faint)
        axis.tick_params(which="both", colors=theme.ink, labelsize=8, length=3, color=theme.faint)
        axis.grid(color=theme.faint, linewidth=0.5)
        axis.set_axisbelow(True)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        # No program name and date in the file: the same scores give the same bytes.
        figure.savefig(temporary, facecolor=figure.get_facecolor(), metadata={"Software": None})


def _systems(scores: Mapping[str, Any], theme: Theme) -> Figure:
    known = scores["rows"][scores["configured"]]["summary"]
    measures = [m for m in MEASURES if m.name in known and known[m.name]["mean"] is not None][:5]
    rows = list(scores["rows"])
    figure, axes = _new(theme, 11, 0.32 * len(rows) + 0.8, max(len(measures), 1))
    for axis, measure in zip(axes, measures, strict=False):
        for place, row in enumerate(rows):
            summary = scores["rows"][row]["summary"].get(measure.name)
            if summary is None or summary["mean"] is None:
                continue
            colour = row_colour(row, scores, theme)
            if summary["low"] is not None:
                axis.plot([summary["low"], summary["high"]], [place, place], color=colour, linewidth=1.6)
            axis.plot(summary["mean"], place, "o", color=colour, markersize=5)
        arrow = {"higher": " →", "lower": " ←", "zero": " → 0 ←"}[measure.better]
        unit = f", {measure.unit}" if measure.unit else ""
        axis.set_title(f"{measure.title}{unit}{arrow}", fontsize=9, color=theme.ink, loc="left")
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_yticks(range(len(rows)), [scores["rows"][row]["title"] for row in rows] if axis is axes[0] else [])
        axis.grid(axis="y", visible=False)
    return figure


def _by_band(scores: Mapping[str, Any], theme: Theme) -> Figure:
    figure, (axis,) = _new(theme, 6.4, 3.2)
    hertz = np.array(scores["mel_mse_by_bin"]["frequencies_hz"])
    bins = np.arange(len(hertz))
    for row in _main_rows(scores):
        errors = np.maximum(scores["mel_mse_by_bin"]["rows"][row], 1e-6)
        colour = row_colour(row, scores, theme)
        axis.plot(bins, errors, color=colour, linewidth=1.6, label=scores["rows"][row]["title"])
    _log_scale(axis)
    ticks = [f for f in (100, 300, 600, 1000, 2000, 3000, 5000, 8000, 12000) if hertz[0] <= f <= hertz[-1]]
    axis.set_xticks(np.interp(ticks, hertz, bins), [f"{f:g}" for f in ticks])
    axis.set_xlabel("Hz, on the mel scale", fontsize=8, color=theme.ink)
    axis.set_ylabel("mel MSE", fontsize=8, color=theme.ink)
    _legend(axis, theme)
    return figure


def _by_phoneme(scores: Mapping[str, Any], theme: Theme) -> Figure:
    by_phoneme, configured = scores["mel_mse_by_phoneme"], scores["configured"]
    often = list(by_phoneme)[:_MOST_PHONEMES]
    order = sorted(often, key=lambda phoneme: -by_phoneme[phoneme]["rows"][configured])
    figure, (axis,) = _new(theme, 6.4, 3.2)
    if not order:
        return _empty(figure, axis, "no phoneme is spoken", theme)
    places = np.arange(len(order))
    for row in _main_rows(scores):
        errors = [by_phoneme[phoneme]["rows"].get(row, np.nan) for phoneme in order]
        colour, title = row_colour(row, scores, theme), scores["rows"][row]["title"]
        if row == configured:
            axis.bar(places, errors, color=colour, width=0.62, label=title)
        else:
            axis.plot(places, errors, "_", color=colour, markersize=9, markeredgewidth=2, label=title)
    axis.set_xticks(places, [f"{phoneme}\n{by_phoneme[phoneme]['frames']}" for phoneme in order])
    axis.tick_params(axis="x", labelsize=7 if len(order) < 30 else 5.5, length=0)
    axis.set_ylabel("mel MSE", fontsize=8, color=theme.ink)
    axis.grid(axis="x", visible=False)
    _legend(axis, theme)
    return figure


def _losses(found: Mapping[str, Sequence[tuple[int, float]]], curves: Curves, theme: Theme) -> Figure:
    figure, (axis,) = _new(theme, 6.4, 3.2)
    if not any(found.values()):
        return _empty(figure, axis, "nothing was logged", theme)
    colours = {"training": theme.rows["other"], "validation": theme.rows["generated"]}
    for tag, points in found.items():
        steps, values = zip(*points, strict=True)
        few = {"marker": "o", "markersize": 3.5} if len(points) < 30 else {}
        axis.plot(steps, values, color=colours[curves.tags[tag]], linewidth=1.5, label=curves.tags[tag], **few)
    _log_scale(axis)
    axis.set_xlabel(curves.unit, fontsize=8, color=theme.ink)
    axis.set_ylabel(curves.measure, fontsize=8, color=theme.ink)
    _legend(axis, theme)
    return figure


def _empty(figure: Figure, axis: Axes, sentence: str, theme: Theme) -> Figure:
    axis.set_axis_off()
    axis.text(0.5, 0.5, sentence, ha="center", va="center", color=theme.ink, transform=axis.transAxes)
    return figure


def _main_rows(scores: Mapping[str, Any]) -> list[str]:
    main = (scores.get("baseline"), scores["configured"], "look_up", "floor", "ceiling")
    return [row for row in main if row in scores["rows"]]


def _legend(axis: Axes, theme: Theme) -> None:
    # Above the plot, so that it covers no curve.
    axis.legend(
        fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.1, labelcolor=theme.ink
    )


def _log_scale(axis: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers as labels, more of them for a small range."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_locator(LogLocator(subs=()))


def draw_mel(path: Path, mel_db: np.ndarray, top_db: float) -> None:
    """Write a mel as an image without axes, one pixel per bin and frame, low frequencies at the bottom.

    Parameters
    ----------
    mel_db : dB, ``(n_mels, T)``.
    top_db : the brightest level, common to compared images; the darkest is 70 dB below.
    """
    import cv2

    from rtmri_speech.dataset.figure import write_png

    shade = np.clip((mel_db[::-1] - top_db) / _RANGE_DB + 1, 0, 1)
    picture = cv2.applyColorMap(np.rint(shade * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)
    write_png(path, picture)
