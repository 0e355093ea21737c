"""Draws midsagittal pictures like those of real-time MRI from the outlines of a vocal tract.

VocalTractLab's outlines (centimetres, x forward, y up) bound the airway; the rest is hand-drawn anatomy in the same
coordinates. Static parts of the head are drawn once. Each picture adds the air in front of the face and the moving
organs: the jaw follows the lower teeth, the larynx the hyoid, and the vocal folds are a bar of tissue while they
vibrate. Point spread, receive coil, noise and head motion imitate a scanner. The face looks left.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

SIZE = 256
FIELD_CM = 18.0
"""Side of the field of view: 14 pixels per centimetre."""
CENTRE_CM = np.array([0.8, -2.4])
PIXELS_A_CM = SIZE / FIELD_CM
_SUBPIXEL_BITS = 4

AIR, TOOTH, BONE, CARTILAGE, NASAL_BONE = 7, 12, 28, 38, 34
MUSCLE, TURBINATE, SOFT_TISSUE, BRAIN, MARROW, TONGUE, MUCOSA, FAT = 88, 84, 104, 112, 118, 122, 150, 172
"""Brightness of the tissues, 0 to 255: compact bone, teeth and air give no signal, fat and wet mucosa the most."""

POINT_SPREAD = 1.4
"""Blur of the imaging, standard deviation in pixels."""
NOISE = 7.0
"""Standard deviation of the scanner's noise in each of its two channels."""
COIL_CENTRE_CM, COIL_RADIUS_CM = (4.2, -2.0), 6.2
COIL_FAR, COIL_NEAR = 0.74, 0.56
"""A receive coil in front of the mouth: brightness decreases with distance."""

SHIFT_PIXELS, TURN_DEGREES, ZOOM, GAIN = 2.5, 2.0, 0.015, 0.06
"""Standard deviations of the head's pose in a clip; without them, nearest neighbours are nearly as good as a trained
model."""
JITTER_MEMORY, JITTER_PIXELS, JITTER_DEGREES = 0.96, 0.16, 0.045
"""Slow head motion within a clip: coefficient per frame and innovations of a first-order process."""
PIVOT_CM = (-1.4, -3.3)
"""Centre of head rotation, in the upper neck."""

PHARYNX, VELUM, PALATE, UPPER_TEETH, UPPER_LIP = slice(1, 9), slice(9, 16), slice(15, 22), slice(21, 27), slice(28, 33)
"""Parts of the upper outline, from the back of the glottis to the upper lip."""
FLOOR, LOWER_TEETH, LOWER_LIP = slice(5, 17), slice(16, 22), slice(22, 27)
"""Parts of the lower outline, from the front of the glottis via the hyoid to the lower lip."""
GLOTTIS, UPPER_LIP_TIP, LOWER_LIP_TIP, HYOID, VALLECULA = 0, 33, 27, 6, 5
"""Single points of the outlines."""
JAW_EDGE = (17, 20)
"""Two points of the lower outline that are fixed to the jaw."""
REFERENCE_JAW_CM, REFERENCE_JAW_ANGLE = np.array([4.29, -1.99]), -0.0724
"""Position of that edge in the vowel a, for which mandible and chin are drawn (cm, radians)."""
TONGUE_CENTRE_CM = np.array([0.6, -0.8])
"""Reference position of the tongue's texture."""
OPEN_CHINK_CM = 0.10
"""Distance between the vocal folds at which they are invisible."""


@dataclasses.dataclass(frozen=True)
class Outlines:
    """Outlines of one vocal tract, float64 ``(N, 2)`` in cm, each from the larynx to the lips or the tongue tip."""

    upper: np.ndarray
    lower: np.ndarray
    tongue: np.ndarray
    epiglottis: np.ndarray


@dataclasses.dataclass(frozen=True)
class Pose:
    """Pose of a head in one clip: shift in pixels, rotation in degrees, zoom and brightness factors."""

    right: float
    down: float
    turn: float
    zoom: float
    gain: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pose:
        """Return a random pose."""
        right, down, turn, zoom, gain = rng.standard_normal(5) * [
            SHIFT_PIXELS, SHIFT_PIXELS, TURN_DEGREES, ZOOM, GAIN,
        ]  # fmt: skip
        return cls(float(right), float(down), float(turn), float(1 + zoom), float(1 + gain))


def film(outlines: Iterator[Outlines], chinks: ArrayLike, pose: Pose, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the pictures of a clip, uint8 ``(256, 256)``.

    Parameters
    ----------
    outlines : of each frame.
    chinks : width between the vocal folds in each frame, centimetres, ``(T,)``.
    pose : of the head.
    rng : draws head motion and noise.
    """
    creep = np.zeros(3)
    coil = pose.gain * _coil()
    pivot = tuple(_pixels(PIVOT_CM)[0])
    for outline, chink in zip(outlines, chinks, strict=True):
        innovation = rng.standard_normal(3) * [JITTER_PIXELS, JITTER_PIXELS, JITTER_DEGREES]
        creep = JITTER_MEMORY * creep + innovation
        placement = cv2.getRotationMatrix2D(pivot, pose.turn + creep[2], pose.zoom)
        placement[:, 2] += pose.right + creep[0], pose.down + creep[1]
        tissue = cv2.GaussianBlur(draw(outline, chink), (0, 0), POINT_SPREAD)
        signal = coil * cv2.warpAffine(tissue, placement, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        # Magnitude of a complex signal with noise in both channels (Rice distribution), as in a scanner.
        noise = NOISE * rng.standard_normal((2, SIZE, SIZE), dtype=np.float32)
        yield np.clip(np.hypot(signal + noise[0], noise[1]), 0, 255).astype(np.uint8)


def draw(outlines: Outlines, chink: float) -> np.ndarray:
    """Return the brightness of the tissues, float32 ``(256, 256)``, without blur and noise.

    ``chink`` is the width between the vocal folds in centimetres.
    """
    canvas = _still_head().copy()
    jaw = _Jaw(outlines.lower)
    larynx = (outlines.upper[GLOTTIS] + outlines.lower[GLOTTIS]) / 2
    upper_lip = outlines.upper[UPPER_LIP_TIP] + [[0, 0], [0.20, 0.20], [0.32, 0.45], [0.34, 0.73]]
    lower_lip = outlines.lower[LOWER_LIP_TIP] + [[0, 0], [0.20, -0.20], [0.30, -0.45], [0.26, -0.75]]
    _draw_face(canvas, upper_lip, lower_lip, jaw, larynx)
    velum_top = _draw_airway(canvas, outlines, larynx)
    _draw_larynx(canvas, outlines, chink)
    tongue = _draw_tongue(canvas, outlines, jaw)
    _draw_velum(canvas, outlines, velum_top)
    _draw_lips_and_teeth(canvas, outlines, upper_lip, lower_lip, jaw)
    return _textured(canvas, tongue, outlines.tongue)


class _Jaw:
    """Rigid motion of the mandible from its reference position to a frame's."""

    def __init__(self, lower: np.ndarray) -> None:
        back, front = lower[JAW_EDGE[0]], lower[JAW_EDGE[1]]
        angle = math.atan2(front[1] - back[1], front[0] - back[0]) - REFERENCE_JAW_ANGLE
        cos, sin = math.cos(angle), math.sin(angle)
        self._rotation, self._place = np.array([[cos, sin], [-sin, cos]]), back

    def __call__(self, points: ArrayLike) -> np.ndarray:
        return (np.asarray(points, float) - REFERENCE_JAW_CM) @ self._rotation + self._place


@lru_cache(maxsize=1)
def _still_head() -> np.ndarray:
    """Static anatomy: brain, skull base, spine, nose and nape, on a background of muscle."""
    canvas = np.full((SIZE, SIZE), MUSCLE, np.uint8)
    nape = _spline([[-7.6, -12.2], [-7.5, -9], [-7.9, -5.5], [-8.6, -2.5], [-9.8, 0.5], [-11, 3], [-11, 8]])
    _fill(canvas, np.concatenate([nape, [[-14, 8], [-14, -12.2]]]), AIR)
    _stroke(canvas, nape, FAT, 0.6)
    skull = [[7.4, 8], [6.3, 6.3], [3.2, 6.0], [0.4, 5.5], [-1.2, 4.6], [-3.2, 1.7], [-4.6, 0.2], [-6.8, -0.3]]
    _fill(canvas, _spline([*skull, [-11, 0.5], [-11, 8]]), BONE)
    brain = [[6.0, 8], [5.6, 6.8], [3.0, 6.4], [0.2, 6.0], [-2.2, 4.9], [-3.9, 2.2], [-5.2, 0.7], [-7.0, 0.3]]
    _fill(canvas, _spline([*brain, [-11, 1.2], [-11, 8]]), BRAIN)
    clivus = [[-1.2, 4.5], [-1.9, 4.3], [-3.9, 1.4], [-3.7, 0.9], [-2.8, 1.3], [-1.6, 3.2]]
    _fill(canvas, _spline(clivus, closed=True), MARROW)
    sphenoid_sinus = [[-0.9, 5.3], [0.7, 5.4], [1.5, 4.9], [0.7, 4.3], [-0.9, 4.35], [-1.5, 4.8]]
    _fill(canvas, _spline(sphenoid_sinus, closed=True), AIR)
    _draw_spine(canvas)
    _draw_nose(canvas)
    return canvas


def _draw_spine(canvas: np.ndarray) -> None:
    column = [[-3.9, 0.1], [-5.3, 0.5], [-6.0, -3], [-6.3, -7], [-6.6, -12.5], [-4.4, -12.5], [-4.3, -7], [-4.2, -3]]
    _fill(canvas, _spline(column), CARTILAGE)
    for number, height in enumerate([1.25, 0.78, 0.74, 0.74, 0.74, 0.74]):
        vertebra = [-4.35 - 0.18 * number, -1.1 - 1.8 * number]
        _fill(canvas, _oval(vertebra, (0.66, height), 4, squareness=4.5), MARROW)
    cord = _spline([[-4.7, 1.4], [-5.6, -0.6], [-6.2, -3], [-6.4, -7], [-6.7, -12.5]])
    _stroke(canvas, cord, BONE, 1.15)
    _stroke(canvas, cord, BRAIN, 0.62)


def _draw_nose(canvas: np.ndarray) -> None:
    cavity = [[-1.5, 3.3], [0.2, 4.0], [2.2, 5.2], [5.3, 5.6], [7.0, 4.4], [8.0, 3.0], [7.9, 2.5], [6.9, 2.25]]
    _fill(canvas, _spline([*cavity, [5.8, 2.45], [0.6, 2.25]], closed=True), NASAL_BONE)
    for height, back, front in ((2.95, 0.8, 6.2), (3.75, 1.4, 6.0), (4.55, 2.4, 5.6)):
        turbinate = [[back, height], [(back + front) / 2, height + 0.16], [front, height]]
        _stroke(canvas, _spline(turbinate), TURBINATE, 0.34)


def _draw_face(canvas: np.ndarray, upper_lip: np.ndarray, lower_lip: np.ndarray, jaw: _Jaw, larynx: np.ndarray) -> None:
    """Draw the air in front of the face, and subcutaneous fat."""
    brow_to_nose = [[6.6, 8], [6.9, 6.6], [7.6, 5.2], [8.5, 3.5], [8.72, 2.85], [8.45, 2.35], [7.7, 2.1]]
    above = _spline([*brow_to_nose, [7.05, 1.75], [6.88, 1.2], *upper_lip[::-1]])
    chin = jaw([[5.95, -3.45], [6.25, -4.2], [6.3, -4.9], [5.75, -5.55], [4.2, -5.85]])
    throat = [
        [2.3, -5.2 + 0.12 * larynx[1]],
        [0.9, max(-7.0, larynx[1] + 1.15)],
        [0.62, larynx[1] + 0.55],
        [0.25, larynx[1] - 1.0],
        [0.3, -12.2],
    ]
    below = _spline([*lower_lip, *chin, *throat])
    _fill(canvas, np.concatenate([above, below, [[14, -12.2], [14, 8]]]), AIR)
    _stroke(canvas, above, 0.82 * FAT, 0.34)
    _stroke(canvas, below, 0.82 * FAT, 0.34)


def _draw_airway(canvas: np.ndarray, outlines: Outlines, larynx: np.ndarray) -> np.ndarray:
    """Draw nasopharynx, hard palate, mouth, pharynx and trachea; return the upper side of the velum."""
    upper, lower = outlines.upper, outlines.lower
    back_wall = _spline(upper[PHARYNX])
    rising = [[-0.62, 0.42], [-0.42, 0.72], [-0.20, 0.86], [0.0, 0.92], [0.05, 0.98]]
    velum_top = np.concatenate([upper[VELUM][:5] + rising, [[0.75, 2.2]]])
    dome = [[-2.72, 1.0], [-2.6, 2.0], [-2.15, 2.8], [-1.4, 3.35], [-0.3, 3.6], [0.7, 2.9]]
    nasopharynx = _spline([upper[7], upper[8] - [0.03, 0], *dome])
    _fill(canvas, np.concatenate([nasopharynx, velum_top[::-1], upper[VELUM][:1]]), AIR)
    _fill(canvas, np.concatenate([_spline(upper[PALATE]), [[5.5, 1.6], [6.0, 2.35], [0.6, 2.35]]]), 0.8 * MUCOSA)
    _stroke(canvas, _spline([[0.9, 1.72], [1.9, 1.98], [2.8, 2.08], [3.9, 1.95], [4.6, 1.6]]), BONE, 0.3)
    alveolar_ridge = [[4.45, 0.55], [4.35, 1.3], [4.9, 1.75], [5.45, 1.2], [5.35, 0.2]]
    _fill(canvas, _spline(alveolar_ridge, closed=True), TURBINATE)
    _stroke(canvas, back_wall, SOFT_TISSUE, 0.5)
    _fill(canvas, np.concatenate([upper[:1], back_wall, upper[VELUM.start :], lower[::-1]]), AIR)
    trachea = np.array([
        upper[GLOTTIS] - [0.02, 0.45],
        lower[GLOTTIS] + [0.02, -0.45],
        [-0.35, larynx[1] - 2.2],
        [-0.6, -12.6],
        [-2.5, -12.6],
        [-2.25, larynx[1] - 2.2],
    ])  # fmt: skip
    _stroke(canvas, trachea, SOFT_TISSUE, 0.5, closed=True)
    _fill(canvas, trachea, AIR)
    return velum_top


def _draw_larynx(canvas: np.ndarray, outlines: Outlines, chink: float) -> None:
    """Draw vocal folds and cartilages; the folds are bright when closed, as dark as air when open."""
    back, front = outlines.upper[GLOTTIS], outlines.lower[GLOTTIS]
    apart = min(max(chink / OPEN_CHINK_CM, 0.0), 1.0)
    folds = [_by(back, -0.1, 0.05), _by(front, 0.1, 0.05), _by(front, 0.1, -0.5), _by(back, -0.1, -0.5)]
    _fill(canvas, folds, (1 - apart) * 1.1 * SOFT_TISSUE + apart * (AIR + 18))
    _stroke(canvas, [_by(front, 0.38, 0.9), _by(front, 0.30, -0.55)], CARTILAGE, 0.3)  # thyroid
    _stroke(canvas, [_by(front, 0.45, -0.8), _by(front, 0.40, -1.15)], CARTILAGE, 0.35)  # arch of the cricoid
    _fill(canvas, _oval(_by(back, -0.42, -0.6), (0.26, 0.62)), CARTILAGE)  # lamina of the cricoid
    _fill(canvas, _oval(_by(back, -0.32, 0.42), (0.22, 0.4), 12), SOFT_TISSUE)  # arytenoid


def _draw_tongue(canvas: np.ndarray, outlines: Outlines, jaw: _Jaw) -> np.ndarray:
    """Draw the floor of the mouth, tongue, epiglottis and hyoid; return the tongue's pixels, bool."""
    lower, tongue = outlines.lower, outlines.tongue
    under = [*jaw([[4.6, -3.9]]), [1.5, -5.6], lower[VALLECULA] + [0.5, -1.3]]
    _fill(canvas, np.concatenate([lower[FLOOR], under]), SOFT_TISSUE)
    body = np.concatenate([tongue, lower[14 : VALLECULA - 1 : -1]])
    _fill(canvas, body, TONGUE)
    spine_of_the_chin = jaw([4.05, -3.05])
    for end in tongue[6:33:3]:  # the fan of the genioglossus
        fibre = [spine_of_the_chin + share * (end - spine_of_the_chin) for share in (0.15, 0.86)]
        _stroke(canvas, fibre, TONGUE - 12, 0.05)
    _stroke(canvas, tongue[1:33], MUCOSA, 0.16)
    own = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(own, [_fixed_point(body)], 1, shift=_SUBPIXEL_BITS)
    _fill(canvas, _spline(outlines.epiglottis, closed=True), 0.85 * MUCOSA)
    _fill(
        canvas,
        [lower[4], _by(lower[5], 0.3, 0.1), _by(lower[3], 0.5, -0.6), _by(lower[4], 0.9, -0.5)],
        SOFT_TISSUE,
    )
    hyoid = lower[HYOID] + [0.55, -0.35]
    _fill(canvas, _oval(hyoid, (0.40, 0.24), 35), BONE)
    _fill(canvas, _oval(hyoid, (0.24, 0.12), 35), MARROW)
    return own.astype(bool)


def _draw_velum(canvas: np.ndarray, outlines: Outlines, velum_top: np.ndarray) -> None:
    """Draw the soft palate and uvula, which leave an opening to the nose when lowered."""
    upper = outlines.upper
    uvula = upper[VELUM.start] + [[-0.12, -0.45], [-0.33, -0.85], [-0.56, -0.72], [-0.68, -0.15]]
    under_side = upper[PALATE.start : VELUM.start - 1 : -1]
    _fill(canvas, _spline(np.concatenate([under_side, uvula, velum_top, [[1.2, 2.2]]]), closed=True), 0.92 * MUCOSA)
    _stroke(canvas, _spline(upper[VELUM.start : PALATE.stop]), MUCOSA, 0.14)


def _draw_lips_and_teeth(
    canvas: np.ndarray, outlines: Outlines, upper_lip: np.ndarray, lower_lip: np.ndarray, jaw: _Jaw
) -> None:
    upper, lower = outlines.upper, outlines.lower
    _fill(canvas, np.concatenate([upper[UPPER_LIP], upper_lip, [[6.8, 1.2], [6.2, 1.9], [5.5, 1.2]]]), MUCOSA)
    _fill(canvas, np.concatenate([lower[LOWER_LIP], lower_lip, jaw([[5.95, -3.45], [5.5, -3.3]])]), MUCOSA)
    mandible = [[4.5, -2.25], [4.3, -3.3], [4.55, -4.5], [5.1, -4.95], [5.65, -4.6], [5.45, -3.5], [5.2, -2.35]]
    _fill(canvas, jaw(_spline(mandible, closed=True)), BONE)
    _fill(canvas, jaw(_oval((4.98, -3.75), (0.32, 0.85), 8)), MARROW)
    _fill(canvas, np.concatenate([upper[UPPER_TEETH], [[5.3, 0.75], [4.85, 0.75]]]), TOOTH)
    _fill(canvas, np.concatenate([lower[LOWER_TEETH], jaw([[4.5, -2.2], [4.75, -2.75], [5.0, -2.7]])]), TOOTH)


def _textured(canvas: np.ndarray, tongue: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Add texture to the tissues: static for the head, moving with the tongue."""
    head_grain, tongue_grain = _grain()
    moved = _pixels(outline[8:30].mean(0))[0] - _pixels(TONGUE_CENTRE_CM)[0]
    shift = np.float32([[1, 0, moved[0]], [0, 1, moved[1]]])
    moving = cv2.warpAffine(tongue_grain, shift, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
    return canvas * np.where(tongue, moving, head_grain)


@lru_cache(maxsize=1)
def _grain() -> tuple[np.ndarray, np.ndarray]:
    """Texture factors near 1 for head and tongue, float32; the same in every clip, as for one speaker."""
    rng = np.random.default_rng(0)
    return _smooth_noise(rng, {1.0: 0.07, 2.5: 0.06, 7.0: 0.05}), _smooth_noise(rng, {1.0: 0.07, 3.0: 0.07})


def _smooth_noise(rng: np.random.Generator, amplitudes: dict[float, float]) -> np.ndarray:
    """1 plus, for each width in pixels, smoothed noise of an amplitude."""
    field = np.ones((SIZE, SIZE), np.float32)
    for width, amplitude in amplitudes.items():
        grain = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE), dtype=np.float32), (0, 0), width)
        field += amplitude * grain / grain.std()
    return field


@lru_cache(maxsize=1)
def _coil() -> np.ndarray:
    """Sensitivity of the receive coil, float32 ``(256, 256)``."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    column, row = _pixels(COIL_CENTRE_CM)[0]
    squared = ((columns - column) ** 2 + (rows - row) ** 2) / PIXELS_A_CM**2
    return (COIL_FAR + COIL_NEAR * np.exp(-squared / (2 * COIL_RADIUS_CM**2))).astype(np.float32)


def _by(point: np.ndarray, forward: float, up: float) -> np.ndarray:
    """Offset ``point`` by centimetres."""
    return point + np.array([forward, up])


def _pixels(points: ArrayLike) -> np.ndarray:
    """Columns and rows of points in centimetres; forward is left, up is up."""
    return (CENTRE_CM - np.asarray(points, float).reshape(-1, 2)) * PIXELS_A_CM + SIZE / 2


def _fixed_point(points: ArrayLike) -> np.ndarray:
    return np.rint(_pixels(points) * 2**_SUBPIXEL_BITS).astype(np.int32)


def _fill(canvas: np.ndarray, points: ArrayLike, brightness: float) -> None:
    cv2.fillPoly(canvas, [_fixed_point(points)], float(brightness), cv2.LINE_AA, _SUBPIXEL_BITS)


def _stroke(canvas: np.ndarray, points: ArrayLike, brightness: float, width_cm: float, closed: bool = False) -> None:
    width = max(1, round(width_cm * PIXELS_A_CM))
    cv2.polylines(canvas, [_fixed_point(points)], closed, float(brightness), width, cv2.LINE_AA, _SUBPIXEL_BITS)


def _oval(
    centre: ArrayLike, half_axes: tuple[float, float], degrees: float = 0.0, squareness: float = 2.0
) -> np.ndarray:
    """Outline of an ellipse, or with more ``squareness`` of a superellipse (G. Lame), turned by ``degrees``."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.sign(unit) * np.abs(unit) ** (2 / squareness) * half_axes
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.asarray(centre) + points @ [[cos, sin], [-sin, cos]]


_SPLINE_STEPS = 4


def _spline(points: ArrayLike, closed: bool = False) -> np.ndarray:
    """A smooth curve through points (E. Catmull and R. Rom, 1974)."""
    points = np.asarray(points, float)
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    quadruples = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]])
    curve = np.tensordot(_spline_weights(), quadruples, axes=1).transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


@lru_cache(maxsize=1)
def _spline_weights() -> np.ndarray:
    """Weights of four neighbouring points at steps between the middle two, ``(_SPLINE_STEPS, 4)``."""
    t = np.linspace(0, 1, _SPLINE_STEPS, endpoint=False)[:, None]
    basis = [[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]
    return 0.5 * t ** np.arange(4) @ np.array(basis, float)
