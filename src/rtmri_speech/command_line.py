"""Quotes command lines for the shell that runs a workflow's rules: ``sh``, or ``cmd`` on Windows."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from rtmri_speech.errors import UserError


def quoted(word: Any, system: str = os.name) -> str:
    """Return ``word`` quoted as one word of a command line.

    On Windows, quoted for the C runtime (Microsoft, "Parsing C command-line arguments"): a quotation mark is escaped by
    a backslash, and backslashes are doubled before one. ``cmd`` knows no such escape: each quotation mark begins or
    ends a stretch in which it takes ``& | < > ^`` literally.

    Raises
    ------
    UserError
        On Windows, the word contains a line end, ``%NAME%``, which ``cmd`` expands even within quotation marks,
        ``& | < > ^`` after a quotation mark that ends such a stretch, or an odd number of quotation marks, after which
        ``cmd`` would take the rest of the line for quoted.
    """
    word = str(word)
    if system != "nt":
        return shlex.quote(word)
    line = '"' + re.sub(r"(\\+)$", r"\1\1", re.sub(r'(\\*)"', r'\1\1\\"', word)) + '"'
    stretches = line.split('"')
    odd = None if len(stretches) % 2 else re.search('"', word)
    if found := re.search(r"%[^%]+%|[\r\n]", word) or re.search("[&|<>^]", "".join(stretches[::2])) or odd:
        raise UserError(word, f"holds {found[0]!r}, which the Windows shell does not pass on", "choose another name")
    return line


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
