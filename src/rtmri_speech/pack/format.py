"""File format of a pack: an uncompressed zip of a description and three ONNX graphs.

``pack.json`` describes the pack; ``cnn.onnx`` maps a frame (between its neighbours, if it sees them) to features,
``recurrence.onnx`` features to the standardised mel, ``vocoder.onnx`` a block of a log mel and the state after the
block before to samples and the next state; without the last, the description names a vocoder without training. It
contains no executable code, and no date, path or machine name: the same models give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rtmri_speech.acoustic.context import LARGEST_PICTURE, LARGEST_WINDOW, Context
from rtmri_speech.acoustic.pitch import outputs_of
from rtmri_speech.atomic import replacing
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.read import ports
from rtmri_speech.settings.acoustic import MOST_NEIGHBOURS, MOST_VECTOR, Normalisation
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import UNREADABLE_ZIP, build, parse_json, read_json, require_type
from rtmri_speech.vocoder.interpolation import require_fit
from rtmri_speech.vocoder.untrained import UNTRAINED

FORMAT, VERSION = "rtmri-speech pack", 2

DESCRIPTION = "pack.json"
GRAPHS = ("cnn.onnx", "recurrence.onnx", "vocoder.onnx")
KINDS = (GRAPHS, GRAPHS[:2])
"""The graphs that a pack can have: with a vocoder, or those of a mel generator alone."""

_LARGEST_DESCRIPTION, _LARGEST_GRAPH = 1 << 20, (1 << 31) - 1
"""Maximum size of a member, bytes; for graphs, the limit of protocol buffers."""

_LONGEST_DELAY, _LARGEST_STATE = 500_000, 1 << 24
"""Maximum delay of a vocoder, samples, and length of its state."""

_LONGEST_WORDS = 2000
"""Maximum length of licence, speaker and consent, characters."""

_LARGEST_FEATURES = 1 << 16

_Shapes = list[tuple[int | None, ...]]

_NO_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX, _READABLE = 3, 0o644 << 16

_REMEDY = "get the pack again, or make it with pack_model.py"


@dataclasses.dataclass(frozen=True)
class About:
    """Content of ``pack.json``.

    Attributes
    ----------
    licence : of the pack.
    speaker : person whose voice and images the models were trained on.
    consent : the speaker's consent; a voice is personal data.
    mel : `MelSpec.to_dict` of the models' mel.
    frame_rate : frames per second of ``mel``, a fraction.
    frame_size : height and width of input frames, pixels.
    image_size : height and width of the CNN's input, pixels.
    frame_normalisation : of frames; part of the graph, for information only.
    features : number of CNN features per frame, C.
    scaler : mean and standard deviation of each mel bin, dB.
    context : default LSTM context.
    ref_frames : frames per training window.
    graphs : SHA-256 of each graph.
    models : SHA-256 of each source file by role.
    trainings : provenance of each model's training, if known; see `pack.export`.
    scores : evaluation scores, if added.
    pitch : whether the mel generator predicts F0 and voicing too (`acoustic.pitch`).
    vocoder_mel : `MelSpec.to_dict` of the vocoder's mel if it has another frame rate than ``mel``.
    untrained : the vocoder of `vocoder.untrained` that is used if there is no graph of one.
    cnn : numbers of ``cnn.onnx``, for information only.
    neighbours : frames before and after a frame in the CNN's input (`acoustic.neighbours`), N.
    speaker_scalers : scalers of the speakers whose mels were standardised apart, by name.
    speaker_vectors : of each speaker by name, what the recurrence sees beside a frame's features, N values.
    vocoder_delay, vocoder_state : samples by which the vocoder's graph is late, and the length of its state; 0 without
        one.
    """

    licence: str
    speaker: str
    consent: str
    mel: dict[str, Any]
    frame_rate: str
    frame_size: tuple[int, int]
    image_size: tuple[int, int]
    frame_normalisation: Normalisation
    features: int
    scaler: dict[str, Any]
    context: Context
    ref_frames: int
    graphs: dict[str, str]
    models: dict[str, str]
    trainings: dict[str, Any]
    scores: dict[str, Any] | None = None
    # Packs without this entry predict no F0.
    pitch: bool = False
    # Left out where the vocoder has the mel generator's.
    vocoder_mel: dict[str, Any] | None = None
    # Packs without a vocoder's graph, and without this entry, are from when there was one such vocoder.
    untrained: str = "griffin-lim"
    # Packs without this entry are from when there was one kind.
    cnn: Literal["float32", "int8"] = "float32"
    # Packs without this entry see single frames.
    neighbours: int = 0
    # Packs without this entry have one scaler for all speakers.
    speaker_scalers: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    # Packs without this entry tell no speakers apart, or by their scalers alone.
    speaker_vectors: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    vocoder_delay: int = 0
    vocoder_state: int = 0

    @property
    def vector_length(self) -> int:
        """Values of a speaker's vector, 0 if they have none."""
        return len(next(iter(self.speaker_vectors.values()), []))

    def __post_init__(self) -> None:
        for name in ("licence", "speaker", "consent"):
            if len(getattr(self, name)) > _LONGEST_WORDS:
                raise UserError(name, f"has {len(getattr(self, name))} letters", f"give at most {_LONGEST_WORDS}")
        for name, largest in (("frame_size", LARGEST_PICTURE), ("image_size", LARGEST_PICTURE)):
            if not all(1 <= side <= largest for side in getattr(self, name)):
                raise UserError(name, f"is {getattr(self, name)}", f"give 1 to {largest} pixels a side")
        trained = int(GRAPHS[-1] in self.graphs)
        for name, least, largest in (
            ("ref_frames", 1, LARGEST_WINDOW),
            ("features", 1, _LARGEST_FEATURES),
            ("neighbours", 0, MOST_NEIGHBOURS),
            ("vocoder_delay", trained, trained * _LONGEST_DELAY),
            ("vocoder_state", trained, trained * _LARGEST_STATE),
        ):
            if not least <= getattr(self, name) <= largest:
                raise UserError(name, f"is {getattr(self, name)}", f"give {least} to {largest}")
        lengths = {len(vector) for vector in self.speaker_vectors.values()}
        if lengths and (len(lengths) > 1 or not 1 <= max(lengths) <= MOST_VECTOR):
            raise UserError("speaker_vectors", f"have {sorted(lengths)} values", f"give 1 to {MOST_VECTOR} of each")
        if self.speaker_scalers and self.speaker_vectors and [*self.speaker_scalers] != [*self.speaker_vectors]:
            raise UserError("speaker_vectors", "are of other speakers than speaker_scalers", _REMEDY)
        if self.untrained not in UNTRAINED:
            raise UserError("untrained", f"is {self.untrained!r}", f"give one of {', '.join(UNTRAINED)}")
        if len(self.graphs) < len(GRAPHS) and UNTRAINED[self.untrained].needs_f0 and not self.pitch:
            raise UserError("untrained", f"is {self.untrained!r}, and the pack predicts no F0", _REMEDY)
        if sorted(self.graphs) not in map(sorted, KINDS):
            raise UserError("graphs", f"names {', '.join(self.graphs) or 'none'}", f"name {', '.join(GRAPHS)}")


def encoded(about: About) -> bytes:
    """Return ``pack.json``."""
    content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(about)}
    if GRAPHS[-1] in about.graphs:
        del content["untrained"]
    else:
        del content["vocoder_delay"], content["vocoder_state"]
    if about.vocoder_mel is None:
        del content["vocoder_mel"]
    if not about.pitch:
        del content["pitch"]
    if about.cnn == "float32":
        del content["cnn"]
    for name in ("neighbours", "speaker_scalers", "speaker_vectors"):
        if not content[name]:
            del content[name]
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digests(graphs: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each graph."""
    return {name: hashlib.sha256(graph).hexdigest() for name, graph in graphs.items()}


def write_pack(path: str | Path, about: About, graphs: Mapping[str, bytes]) -> None:
    """Write a pack, atomically."""
    description = _within_limit(encoded(about), path)
    members = {DESCRIPTION: description, **{name: graphs[name] for name in GRAPHS if name in about.graphs}}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _NO_DATE)
            member.create_system, member.external_attr = _UNIX, _READABLE
            archive.writestr(member, content)


def _within_limit(description: bytes, path: str | Path) -> bytes:
    if len(description) > _LARGEST_DESCRIPTION:
        raise UserError(
            path,
            f"its {DESCRIPTION} would have {len(description)} bytes",
            "pack a model of fewer speakers, or fewer scores",
        )
    return description


def read_about(path: str | Path) -> About:
    """Return the description of a pack, without reading its graphs.

    Raises
    ------
    UserError
        The file is missing, not a pack, or of another version, a member is missing, unknown or too large, or its
        description is malformed.
    """
    content = parse_json(_decoded(_member(path, DESCRIPTION), path), f"{path}, {DESCRIPTION}", _REMEDY)
    require_type(content, dict[str, Any], "its content", path, _REMEDY)
    if content.pop("format", None) != FORMAT:
        raise UserError(path, "is not a pack of models", "give a file that pack_model.py wrote")
    version = require_type(content.pop("version", None), int, "version", path, _REMEDY)
    if version != VERSION:
        known = f"this program reads version {VERSION}"
        raise UserError(
            path,
            f"is a pack of version {version}, but {known}",
            "update this program" if version > VERSION else "make the pack again with pack_model.py",
        )
    about = build(About, content, path, _REMEDY)
    spec = MelSpec.from_dict(about.mel, str(path))
    for scaler in (Scaler.from_dict(one, path) for one in (about.scaler, *about.speaker_scalers.values())):
        if len(scaler.mean) != spec.n_mels:
            raise UserError(path, f"has {spec.n_mels} mel bins and a scaler of {len(scaler.mean)}", _REMEDY)
    if about.vocoder_mel is not None:
        own = MelSpec.from_dict(about.vocoder_mel, str(path))
        require_fit(own, spec, str(path), "its mel generator")
    if about.frame_rate != str(spec.frame_rate):
        raise UserError(path, f"names the frame rate {about.frame_rate}, its mel has {spec.frame_rate}", _REMEDY)
    return about


def read_graph(path: str | Path, about: About, name: str) -> bytes:
    """Return a graph of a pack, after checking its inputs and outputs against the description.

    Raises
    ------
    UserError
        The graph does not match its digest or the description.
    """
    graph = _member(path, name)
    if hashlib.sha256(graph).hexdigest() != about.graphs[name]:
        raise UserError(path, f"its {name} is damaged", "get the pack again")
    require_ports(graph, about, name, f"{path}, {name}")
    return graph


def require_ports(graph: bytes, about: About, name: str, source: str) -> None:
    """Refuse a graph whose inputs or outputs do not match the description, naming ``source``."""
    n_mels, features = about.mel["n_mels"], about.features
    outputs, state = outputs_of(n_mels, about.pitch), (about.vocoder_state,)
    picture = 2 * about.neighbours + 1, *about.image_size
    wanted: Mapping[str, tuple[_Shapes, _Shapes]] = {
        "cnn.onnx": ([picture], [(1, features)]),
        "recurrence.onnx": ([(None, None, features + about.vector_length)], [(None, None, outputs)]),
        "vocoder.onnx": ([(1, n_mels, None), (1, 1, None), state], [(1, 1, None), state]),
    }
    for what, found, shapes in zip(("input", "output"), ports(graph, source), wanted[name], strict=True):
        kind = "uint8" if (name, what) == (GRAPHS[0], "input") else "float32"
        if [(port.type, port.shape) for port in found] != [(kind, shape) for shape in shapes]:
            named = " and ".join(f"{port.type} {_lengths(port.shape)}" for port in found) or "none"
            needed = " and ".join(f"{kind} {_lengths(shape)}" for shape in shapes)
            raise UserError(source, f"has the {what} {named}, not {needed}", _REMEDY)


def _lengths(shape: tuple[int | None, ...]) -> str:
    return "×".join("any" if length is None else str(length) for length in shape)


def add_scores(path: str | Path, scores: str | Path, target: str | Path) -> None:
    """Write a copy of a pack with the summaries of a ``scores.json``: by title, of each system of the workflow's
    evaluation, or of the one that ``evaluate.py`` scored.

    Raises
    ------
    UserError
        The pack or the scores are unreadable.
    """
    remedy = "give a scores.json of evaluate.py or of the workflow's evaluation"
    content = read_json(scores, missing="check --scores", remedy=remedy)
    try:
        rows = {row["title"]: row["summary"] for row in content["rows"].values()} if "rows" in content else None
        summaries = rows or {"Generated": content["summary"]}
    except (KeyError, TypeError, AttributeError):
        raise UserError(scores, "holds no summary of scores", remedy) from None
    about = read_about(path)
    graphs = {name: read_graph(path, about, name) for name in about.graphs}
    write_pack(target, dataclasses.replace(about, scores=summaries), graphs)


def _decoded(content: bytes, path: str | Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError(path, f"its {DESCRIPTION} is not UTF-8 text", _REMEDY) from None


def _member(path: str | Path, name: str) -> bytes:
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "there is no such file", "check the path of the pack")
    try:
        with zipfile.ZipFile(path) as archive:
            _require_members(archive.infolist(), path)
            return archive.read(name)
    except UNREADABLE_ZIP as error:
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(path, f"is not a complete pack ({reason})", _REMEDY) from None


def _require_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuse a zip with unexpected members, or with declared sizes beyond the file's."""
    names = [member.filename for member in members]
    if sorted(names) not in (sorted((DESCRIPTION, *kind)) for kind in KINDS):
        shown = ", ".join(repr(name[:60]) for name in names[:6]) or "nothing"
        raise UserError(path, f"holds {shown}, not {', '.join((DESCRIPTION, *GRAPHS))}", _REMEDY)
    for member in members:
        largest = _LARGEST_DESCRIPTION if member.filename == DESCRIPTION else _LARGEST_GRAPH
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise UserError(path, f"its {member.filename} is compressed, which is not allowed in a pack", _REMEDY)
        if member.file_size > largest:
            raise UserError(path, f"its {member.filename} has {member.file_size} bytes", _REMEDY)
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(path, "claims more bytes than it has", _REMEDY)
