"""Quotes command lines for the shell that runs a workflow's rules: ``sh``, or ``cmd`` on Windows."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from rtmri_speech.errors import UserError


def quoted(word: Any, system: str = os.name) -> str:
    """Return ``word`` quoted as one word of a command line.

    On Windows, quoted for the C runtime (Microsoft, "Parsing C command-line arguments"): backslashes are doubled only
    before a quotation mark. Within quotation marks ``cmd`` takes ``& | < > ^`` literally.

    Raises
    ------
    UserError
        On Windows, the word contains ``%NAME%``, which ``cmd`` expands even within quotation marks, a quotation mark or
        a line end.
    """
    word = str(word)
    if system != "nt":
        return shlex.quote(word)
    if found := re.search(r"%[^%]+%|[\"\r\n]", word):
        raise UserError(word, f"holds {found[0]!r}, which the Windows shell does not pass on", "choose another name")
    doubled = re.sub(r"(\\+)$", r"\1\1", word)
    return f'"{doubled}"'


def flags(settings: dict[str, Any], system: str = os.name) -> str:
    """Return settings as quoted command-line flags: ``--name value``, a list as several values, True as ``--name``.

    Settings that are None or False are left out.
    """
    words = []
    for name, value in settings.items():
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if value is not True:
            words += [quoted(word, system) for word in (value if isinstance(value, list | tuple) else [value])]
    return " ".join(words)
