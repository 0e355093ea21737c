"""Hash of the code a stage depends on, independent of comments, docstrings and layout."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "rtmri_speech"
_ROOT = Path(__file__).parent

_NEUTRAL = tuple(
    f"{PACKAGE}.{module}" for module in ("threads", "errors", "atomic", "provenance", "code_version", "settings")
)
"""Modules, or packages, that affect how work is run, reported, recorded and written to disk, but not the content of any
result; the values of settings are parameters of the rules."""


def code_hash(*modules: str) -> str:
    """Return a short hash of the syntax trees of ``modules`` and of everything in the package they import.

    Parameters
    ----------
    modules : names below the package, such as ``signal.mel``.
    """
    pending, seen = [f"{PACKAGE}.{module}" for module in modules], set()
    while pending:
        module = pending.pop()
        if module not in seen and not _is_neutral(module):
            seen.add(module)
            pending.extend(_module_facts(module)[1])
    digest = hashlib.sha256()
    for module in sorted(seen):
        digest.update(_module_facts(module)[0].encode())
    return digest.hexdigest()[:12]


def _is_neutral(module: str) -> bool:
    return any(module == neutral or module.startswith(f"{neutral}.") for neutral in _NEUTRAL)


@cache
def _module_facts(module: str) -> tuple[str, tuple[str, ...]]:
    """The module's syntax tree without docstrings, and the modules of the package it imports, lazily or not."""
    path = _path(module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            imported.append(node.module)
            imported.extend(name for alias in node.names if _is_module(name := f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.Import):
            imported.extend(alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_bare_string(statement)]
    return ast.dump(tree), tuple(imported)


def _is_bare_string(statement: ast.stmt) -> bool:
    """True for a docstring, of a module, class, function or constant."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _path(module: str) -> Path:
    base = _ROOT.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _is_module(name: str) -> bool:
    return _path(name).is_file()
