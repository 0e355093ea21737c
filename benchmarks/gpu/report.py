"""The results of a run as JSON and Markdown, both rewritten atomically after every result."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import threading
import time
from pathlib import Path

from rtmri_speech.atomic import replacing
from rtmri_speech.tables import markdown_table

RESULT, PAGE = "on_a_gpu.json", "on_a_gpu.md"
PACKAGES = ("torch", "torchvision", "triton", "numpy", "timm", "opencv-python-headless", "av", "soundfile", "soxr")


class Report:
    """The results of a run, flushed to ``directory``.

    A part is ``{"title", "state", "seconds", "notes": [str], "tables": [{"title", "columns", "rows"}]}``.
    """

    def __init__(self, directory: Path, device: str, tiny: bool, minutes: float) -> None:
        self.directory, self._begin = directory, time.monotonic()
        self._lock = threading.Lock()
        self.content = {
            "machine": machine(device),
            "size": "toy" if tiny else "full",
            "minutes": minutes,
            "parts": [],
        }
        directory.mkdir(parents=True, exist_ok=True)

    def begin(self, title: str) -> None:
        self._part_begin = time.monotonic()
        self.content["parts"].append({"title": title, "state": "not finished", "notes": [], "tables": []})
        self.flush()

    def table(self, title: str, *columns: str) -> None:
        self._part["tables"].append({"title": title, "columns": list(columns), "rows": []})

    def row(self, *cells: str | float) -> None:
        self._part["tables"][-1]["rows"].append(list(cells))
        self.flush()

    def note(self, sentence: str) -> None:
        self._part["notes"].append(sentence)
        self.flush()

    def end(self, state: str = "finished") -> None:
        self._part["state"] = state
        self._part["seconds"] = round(time.monotonic() - self._part_begin, 1)
        self.flush()

    @property
    def _part(self) -> dict:
        return self.content["parts"][-1]

    def flush(self) -> None:
        # The timer of the time limit flushes from another thread.
        with self._lock:
            self._write()

    def _write(self) -> None:
        self.content["seconds"] = round(time.monotonic() - self._begin, 1)
        write(self.directory / RESULT, json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")
        write(self.directory / PAGE, "# On a GPU\n\n" + "\n".join(section(self.content)) + "\n")


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def machine(device: str) -> dict[str, str]:
    """Describe the machine: GPU, CPU and versions."""
    import torch

    found = {"device": device, "date": time.strftime("%Y-%m-%d")}
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found["card"] = f"{torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GiB"
        found["CUDA"], found["cuDNN"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    else:
        found["card"] = "none (CPU)"
    found["CPU"] = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    found["Python"] = platform.python_version()
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not found as a package"
    return found


def section(content: dict) -> list[str]:
    """Return the lines of Markdown for one run."""
    found = content["machine"]
    lines = [f"## {found['card']}", ""]
    if content["size"] == "toy":
        lines += ["**Toy size: not representative of the speed at full size.**", ""]
    lines += [
        ", ".join(f"{name} {value}" for name, value in found.items() if name != "card")
        + f". {content['seconds']:.0f} s of {60 * content['minutes']:.0f}.",
        "",
    ]
    for part in content["parts"]:
        took = f", {part['seconds']} s" if "seconds" in part else ""
        lines += [f"### {part['title']}", "", f"*{part['state']}{took}*", ""]
        for table in part["tables"]:
            lines += [f"**{table['title']}**", ""] if table["title"] else []
            lines += [markdown_table(table["columns"], (map(cell, row) for row in table["rows"])), ""]
        lines += [f"- {note}" for note in part["notes"]]
        lines += [""] if part["notes"] else []
    return lines[:-1]


def cell(value: str | float) -> str:
    """Format a number with three significant digits, or put text on one line."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("\n", " ")
