"""Tiers of labels with times: Praat's TextGrid, long and short, ELAN's ``.eaf``, JSON, and USC-TIMIT's ``.trans``.

Praat's two text formats are one sequence of numbers and quoted words; the long one writes names between them.
"""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmri_speech.errors import UserError
from rtmri_speech.untrusted import parse_json

ALIGNMENTS = (".TextGrid", ".textgrid", ".eaf", ".trans")
"""Endings of files that hold tiers."""

PAUSES = frozenset({"", "sil", "sp", "spn", "pau", "<p:>", "<sil>", "#", "h#", "_", "silence"})
"""Labels, in lower case, of stretches in which nothing is said."""

PHONES = ("phones", "phone", "phonemes", "phoneme", "segments", "phontier", "phonetier", "mau")
WORDS = ("words", "word", "wordtier", "ort-mau", "orthography")
SENTENCES = (
    "sentences",
    "sentence",
    "sentencetier",
    "longsentencetier",
    "shortsentencetier",
    "utterances",
    "utterance",
    "transcript",
)
"""Names of tiers in lower case, the first that is there is taken; Montreal's aligner puts a speaker before them."""

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)')

_SAVE_AGAIN = "save it with Praat as a text file"


@dataclass(frozen=True)
class Label:
    """What a tier says of a stretch, seconds of the recording; a point has equal ends."""

    text: str
    start: float
    end: float

    @property
    def pause(self) -> bool:
        """Whether the label says that nothing is spoken."""
        return self.text.strip().lower() in PAUSES


Tiers = dict[str, list[Label]]
"""Name of a tier, as written, to its labels in order of time."""


def read_tiers(path: str | Path) -> Tiers:
    """Read the tiers of a TextGrid (short or long), an ELAN file, a ``.trans`` table or a JSON file.

    JSON: a tier's name to its labels, ``{"start", "end", "label"}`` or ``[start, end, label]``, as aligners write it.

    Raises
    ------
    UserError
        The file is missing, of another kind, cut off, or has times that are not finite.
    """
    path = Path(path)
    text = annotation_text(path)
    match path.suffix.lower():
        case ".eaf":
            tiers = _eaf(path, text)
        case ".json":
            tiers = _json(path, text)
        case ".trans":
            tiers = _trans(path, text)
        case _:
            tiers = _textgrid(path, text)
    for labels in tiers.values():
        for label in labels:
            if not (math.isfinite(label.start) and math.isfinite(label.end)):
                raise UserError(path, f"has a label from {label.start} to {label.end} s", "give finite seconds")
        labels.sort(key=lambda label: (label.start, label.end))
    return tiers


def find_tier(tiers: Mapping[str, Sequence[Label]], names: Sequence[str]) -> str | None:
    """Return the name of the first tier that is called one of ``names`` (`PHONES`, `WORDS`, `SENTENCES`), or None."""
    known: dict[str, str] = {}
    for name in tiers:
        known.setdefault(name.strip().lower().rsplit(" - ", 1)[-1].strip(), name)
    return next((known[name] for name in names if name in known), None)


def spoken_labels(tiers: Mapping[str, Sequence[Label]], names: Sequence[str]) -> list[Label]:
    """Return the labels, but for pauses, of the tier that `find_tier` finds; none without one."""
    name = find_tier(tiers, names)
    return [label for label in tiers[name] if not label.pause] if name is not None else []


def words_between(tiers: Mapping[str, Sequence[Label]], start: float, end: float) -> str | None:
    """Return the words whose middle lies in a stretch, joined by spaces; None without a tier of words or a word."""
    words = (word for word in spoken_labels(tiers, WORDS) if start <= (word.start + word.end) / 2 < end)
    return " ".join(word.text.strip() for word in words) or None


def annotation_text(path: Path) -> str:
    """Return the text of an annotation: UTF-8, UTF-16 with its mark, or the Latin-1 of older programs' TextGrids.

    Raises
    ------
    UserError
        There is no such file, or it is no text.
    """
    if not path.is_file():
        raise UserError(path, "there is no such file", "check the path")
    content = path.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        if path.suffix.lower() == ".textgrid" and b"\0" not in content:
            return content.decode("latin-1")
        raise UserError(path, "is not Unicode text", "save it as UTF-8") from None


def textgrid_text(tiers: Mapping[str, Sequence[Label]], seconds: float) -> str:
    """Return tiers of intervals as a TextGrid (Praat's long text format), with empty intervals in the gaps.

    Parameters
    ----------
    tiers : labels in order of time, without overlap, by name.
    seconds : end of the tiers; labels are cut there.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:g}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, labels) in enumerate(tiers.items(), 1):
        intervals, end = [], 0.0
        for label in [*labels, Label("", seconds, seconds)]:
            start, stop = (min(max(time, end), seconds) for time in (label.start, label.end))
            intervals += [Label("", end, start)] if start > end else []
            intervals += [Label(label.text, start, stop)] if stop > start else []
            end = max(end, stop)
        quoted = name.replace('"', '""')
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{quoted}"']
        lines += ["        xmin = 0", f"        xmax = {seconds:g}", f"        intervals: size = {len(intervals)}"]
        for place, label in enumerate(intervals, 1):
            text = label.text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {label.start:.6g}"]
            lines += [f"            xmax = {label.end:.6g}", f'            text = "{text}"']
    return "\n".join(lines) + "\n"


def _textgrid(path: Path, text: str) -> Tiers:
    if not text.strip():
        raise UserError(path, "is empty", _SAVE_AGAIN)
    tokens = iter(
        [word.replace('""', '"') if word or not number else float(number) for word, number in _TOKEN.findall(text)]
    )
    tiers: Tiers = {}
    try:
        if [next(tokens), next(tokens)] != ["ooTextFile", "TextGrid"]:
            raise UserError(path, "is not a TextGrid", _SAVE_AGAIN)
        _number(tokens), _number(tokens)
        for number in range(int(_number(tokens))):
            kind, name = str(next(tokens)), str(next(tokens))
            _number(tokens), _number(tokens)
            labels = []
            for _ in range(int(_number(tokens))):
                start = _number(tokens)
                end = _number(tokens) if kind == "IntervalTier" else start
                labels.append(Label(str(next(tokens)), start, end))
            tiers[name if name not in tiers else f"{name} {number + 1}"] = labels
    except (StopIteration, ValueError, OverflowError):
        raise UserError(path, "is not a TextGrid, or is cut off", _SAVE_AGAIN) from None
    return tiers


def _number(tokens: Iterator[str | float]) -> float:
    value = next(tokens)
    if isinstance(value, str):
        raise ValueError(value)
    return value


def _eaf(path: Path, text: str) -> Tiers:
    remedy = "save it with ELAN again"
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UserError(path, "declares entities, as no ELAN file does", remedy)
    try:
        root = ElementTree.fromstring(text.encode())
    # LookupError: an encoding that Python does not know.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UserError(path, f"is not an ELAN file ({error})", remedy) from None
    try:
        milliseconds = {slot.attrib["TIME_SLOT_ID"]: slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
        times = {slot: int(value) / 1000 for slot, value in milliseconds.items() if value is not None}
        found = {tier.attrib["TIER_ID"]: list(tier.iter("ALIGNABLE_ANNOTATION")) for tier in root.iter("TIER")}
        spans: dict[str, tuple[float, float]] = {}
        tiers: Tiers = {}
        for name, annotations in found.items():
            tiers[name] = []
            for annotation, (start, end) in zip(annotations, _eaf_times(annotations, times), strict=True):
                spans[annotation.attrib["ANNOTATION_ID"]] = start, end
                tiers[name].append(Label(annotation.findtext("ANNOTATION_VALUE") or "", start, end))
        for tier in root.iter("TIER"):
            tiers[tier.attrib["TIER_ID"]] += _eaf_children(list(tier.iter("REF_ANNOTATION")), spans)
    except (KeyError, ValueError, OverflowError) as error:
        raise UserError(path, f"is not a complete ELAN file ({error})", remedy) from None
    return tiers


def _eaf_times(annotations: Sequence[ElementTree.Element], times: Mapping[str, float]) -> list[tuple[float, float]]:
    """Begin and end of each annotation; a boundary without a time lies evenly between those that have one."""
    slots = [slot for one in annotations for slot in (one.attrib["TIME_SLOT_REF1"], one.attrib["TIME_SLOT_REF2"])]
    order = list(dict.fromkeys(slots))
    anchored = [place for place, slot in enumerate(order) if slot in times]
    known = {order[place]: times[order[place]] for place in anchored}
    for before, after in itertools.pairwise(anchored):
        low, high = known[order[before]], known[order[after]]
        for place in range(before + 1, after):
            known[order[place]] = low + (high - low) * (place - before) / (after - before)
    return [(known[one.attrib["TIME_SLOT_REF1"]], known[one.attrib["TIME_SLOT_REF2"]]) for one in annotations]


def _eaf_children(annotations: Sequence[ElementTree.Element], spans: dict[str, tuple[float, float]]) -> list[Label]:
    """Labels that have the time of the annotation they refer to, of which several share it evenly."""
    by_parent: dict[str, list[ElementTree.Element]] = {}
    for annotation in annotations:
        by_parent.setdefault(annotation.attrib["ANNOTATION_REF"], []).append(annotation)
    labels = []
    for parent, children in by_parent.items():
        start, end = spans[parent]
        step = (end - start) / len(children)
        for number, child in enumerate(children):
            span = start + number * step, start + (number + 1) * step
            spans[child.attrib["ANNOTATION_ID"]] = span
            labels.append(Label(child.findtext("ANNOTATION_VALUE") or "", *span))
    return labels


_STARTS, _ENDS = ("start", "begin", "xmin", "start_time"), ("end", "xmax", "end_time")
_LABELS = ("label", "phone", "phoneme", "word", "text")


def _json(path: Path, text: str) -> Tiers:
    remedy = 'give {"phones": [{"start": seconds, "end": seconds, "label": ...}, ...]}'
    content = parse_json(text, path, remedy)
    tables = content if isinstance(content, dict) else {"phones": content}
    tables = tables["tiers"] if isinstance(tables.get("tiers"), dict) else tables
    tiers: Tiers = {}
    for name, value in tables.items():
        entries = value.get("entries") if isinstance(value, dict) else value
        try:
            labels = [label for entry in entries if (label := _json_label(entry))] if isinstance(entries, list) else []
        except OverflowError:
            raise UserError(path, f"has a time in {name} that is not a finite number of seconds", remedy) from None
        if labels:
            if len(labels) < len(entries):
                raise UserError(path, f"has entries in {name} without start, end and label", remedy)
            tiers[name] = labels
    if not tiers:
        raise UserError(path, "holds no labels with start and end", remedy)
    return tiers


def _json_label(entry: Any) -> Label | None:
    if isinstance(entry, dict):
        found = [next((entry[name] for name in names if name in entry), None) for names in (_LABELS, _STARTS, _ENDS)]
    elif isinstance(entry, list) and len(entry) >= 3:
        found = [entry[2], entry[0], entry[1]]
    else:
        return None
    label, start, end = found
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (start, end))
    return Label(label, float(start), float(end)) if numbers and isinstance(label, str) else None


def _trans(path: Path, text: str) -> Tiers:
    """USC-TIMIT's rows ``start,end,phone,word,sentence,index``: a row a phone; a sentence may hold commas."""
    tiers: Tiers = {"phones": [], "words": [], "sentences": []}
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.strip().split(",", 4)
        if not line.strip() or (number == 1 and not _is_number(fields[0])):
            continue
        rest = fields[4].rsplit(",", 1) if len(fields) == 5 else []
        if len(rest) < 2 or not _is_number(fields[0]) or not _is_number(fields[1]):
            raise UserError(
                f"{path}, line {number}", "is not start,end,phone,word,sentence,index", "take the file as distributed"
            )
        start, end = float(fields[0]), float(fields[1])
        phone, word, sentence = (field.strip().strip('"') for field in (fields[2], fields[3], rest[0]))
        rows.append((start, end, word, (sentence, rest[1].strip())))
        tiers["phones"].append(Label(phone, start, end))
    for name, column in (("words", 2), ("sentences", 3)):
        for value, run in itertools.groupby(rows, key=lambda row: (row[column], row[3])):
            stretch = list(run)
            label = value[0] if column == 2 else value[0][0]
            tiers[name].append(Label(label, stretch[0][0], stretch[-1][1]))
    return tiers


def _is_number(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False
