"""Provenance of a result: code, packages, settings, seed and input hashes, as one JSON record per stage.

Records contain no machine name or time, so that the same work gives the same record. Hashes are SHA-256 of whole files,
as printed by ``sha256sum``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtmri_speech.code_version import code_hash
from rtmri_speech.untrusted import require_type

_ROOT = Path(__file__).parents[2]

_DISTRIBUTIONS = {"opencv": "opencv-python-headless"}
"""Package to the name of its distribution, where they differ."""

_PACKAGES = ["torch", "torchaudio", "timm", "numpy", "scipy", "librosa", "soxr", "av", "opencv", "snakemake"]

_BLOCK = 1 << 20


def code_version() -> str:
    """Return the package's version and, in a checkout, its commit and whether there are uncommitted changes."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return _version() + (f", commit {commit}" if commit else "") + (" with changes" if changed else "")


def _version() -> str:
    return importlib.metadata.version("rtmri-speech")


def _git(*words: str) -> str | None:
    """Output of a git command in this checkout; None outside one."""
    # Not the commit of another repository that happens to contain the installed package.
    if not (_ROOT / ".git").exists():
        return None
    try:
        return subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that results depend on most."""
    versions = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(_DISTRIBUTIONS.get(name, name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def maker(*modules: str) -> dict[str, Any]:
    """Return the current version and commit, hash of the code that ``modules`` depend on, and package versions.

    The hash identifies the code exactly, including uncommitted changes.
    """
    code = {"version": _version(), "commit": _git("rev-parse", "--short=10", "HEAD"), "stage": code_hash(*modules)}
    return {"code": code, "packages": package_versions()}


def contents_hash(*files: str | Path) -> str:
    """Return the SHA-256 of the contents of ``files``, one after another, each read once and in blocks.

    A directory stands for the files in it, sorted by name.
    """
    digest = hashlib.sha256()
    paths = [path for file in files for path in _files_of(Path(file))]
    for file in paths:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def clip_hashes(clips: Iterable[tuple[str, Sequence[str | Path]]]) -> dict[str, str]:
    """Return the `contents_hash` of each clip's files by clip id."""
    return {id: contents_hash(*files) for id, files in clips}


def record(
    stage: str,
    made_by: Mapping[str, Any],
    seed: int | None,
    inputs: Mapping[str, str],
    clips: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a stage, as JSON values.

    Parameters
    ----------
    stage : its name.
    made_by : `maker`, plus the relevant ``settings``.
    seed : of its random numbers, if any.
    inputs : hash of each input file by name.
    clips : ``files``: the files hashed per clip; ``sha256``: `contents_hash` by clip id.
    """
    parts = {
        "stage": stage,
        "made_by": [made_by],
        "seed": seed,
        "inputs": inputs,
        **({"clips": clips} if clips else {}),
    }
    return json.loads(json.dumps(parts))


def require_record(value: Any, source: str | Path) -> Mapping[str, Any]:
    """Return a record from a file; another value is refused, naming ``source``."""
    remedy = "make it again"
    require_type(value, dict[str, Any], "its record", source, remedy)
    for name, kind in {"stage": str, "made_by": list[dict[str, Any]], "inputs": dict[str, str]}.items():
        require_type(value.get(name), kind, name, source, remedy)
    return value


def continued(before: Mapping[str, Any], made_by: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Return the record ``before`` of a training that ``made_by`` resumes after ``step`` steps.

    An unchanged ``made_by`` is not repeated, so that an interrupted training has the same record as an uninterrupted
    one.
    """
    made_by = json.loads(json.dumps(made_by))
    last = {key: value for key, value in before["made_by"][-1].items() if key != "from_step"}
    if last == made_by:
        return dict(before)
    return {**before, "made_by": [*before["made_by"], {"from_step": step, **made_by}]}


def inputs_digest(record: Mapping[str, Any]) -> str:
    """Return one SHA-256 over all hashes of a record's inputs and clips."""
    hashes = [record["inputs"], record.get("clips")]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
