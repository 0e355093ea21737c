"""Every command and configuration in a code block of README and docs is one that the project takes.

Scripts parse their flags, Snakemake its own and the settings of ``--config``, targets and profiles exist, and what a
reader is to write into a configuration is checked like one. Nothing is run but a plan of all targets.
"""

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from code_blocks import code_blocks, code_lines, without_comment
from snakemake.cli import parse_args
from test_docs import PAGES, ROOT, RULES
from workflow_checkout import tiny_checkout

from rtmri_speech.configuration import load_configuration
from rtmri_speech.errors import UserError

OTHERS = {"git", "cd", "mkdir", "source", "tmux", "tail", "squeue", "pip", r".venv\Scripts\activate"}
"""Programs that are not the project's."""

MAKE = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

OUTPUTS = re.compile(r"results\w*/infer/\d+_generated\.wav")
"""Files that a reader asks for."""


class Parsed(BaseException):
    """The end of a script that has taken its flags."""


def commands(text: str) -> list[list[str]]:
    """The words of each command in the code blocks of a page, of ``a && b`` both."""
    found = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(code_lines(text))).splitlines():
        line = line if re.match(r"\S+\\", line) is None else line.replace("\\", "\\\\")
        if not is_command(line):
            continue
        words = shlex.split(line.replace(":\\", ":\\\\"))
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    return found


def is_command(line: str) -> bool:
    """Whether a line begins with the name of a program, and not with a setting, Python or what Snakemake prints."""
    first = line.split()[0]
    return program(first) in {"snakemake", "python", "make", "sbatch", *OTHERS}


def program(word: str) -> str:
    """The name of a program, without the environment's directory."""
    name = Path(word).name if "/bin/" in word else word
    return "python" if name == "python3" else name


def fault(words: list[str], monkeypatch) -> str | None:
    """Why a command is none of the project's, or None."""
    match program(words[0]):
        case "snakemake":
            return fault_of_snakemake(words[1:])
        case "python":
            return fault_of_python(words[1:], monkeypatch)
        case "make":
            return None if set(words[1:]) <= MAKE else f"there is no {words[1:]} in the Makefile"
        case "sbatch":
            return fault(wrapped(words), monkeypatch)
        case "pip":
            extras = {name for word in words for name in re.findall(r"\[([\w,]+)\]", word)}
            return fault_of_extras({name for group in extras for name in group.split(",")})
    return None


def wrapped(words: list[str]) -> list[str]:
    """The command that a job of SLURM runs; any other command is its own."""
    given = words[words.index("--wrap") + 1].removeprefix("exec ") if program(words[0]) == "sbatch" else None
    return words if given is None else shlex.split(given)


def fault_of_snakemake(words: list[str]) -> str | None:
    try:
        _, args = parse_args(words)
    except SystemExit:
        return "Snakemake does not take its flags, or there is no such profile"
    missing = [str(path) for path in args.configfile if not is_there(path)]
    missing += [name for name in args.targets if name not in RULES and not OUTPUTS.fullmatch(name)]
    missing += [name for name in [*(args.groups or ())] if name not in RULES]
    if missing:
        return f"there is no {', '.join(missing)}"
    given = dict(setting.split("=", 1) for setting in args.config or ())
    return fault_of_settings({name: yaml.safe_load(value) for name, value in given.items()})


def is_there(path: Path) -> bool:
    """Whether a configuration is in the checkout, or one that the reader or a script writes."""
    return (ROOT / path).is_file() or path.name in ("mine.yaml", "my_lab.yaml", "b.yaml", "DIR.yaml")


def fault_of_settings(settings: dict) -> str | None:
    try:
        load_configuration(settings)
    except UserError as error:
        return str(error)
    return None


def fault_of_python(words: list[str], monkeypatch) -> str | None:
    if words[0] == "-m":
        return None if words[1] == "venv" else f"{words[1]} is unknown"
    script = ROOT / words[0]
    if not script.is_file():
        return f"there is no {words[0]}"
    taken = argparse.ArgumentParser.parse_args

    def parse(self, *arguments, **more):
        taken(self, *arguments, **more)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(script.parent)
        patch.syspath_prepend(ROOT / "tests")
        try:
            runpy.run_path(str(script), run_name="documented")["main"]()
        except Parsed:
            return None
        except SystemExit as end:
            return None if end.code == 0 and words[-1] == "--help" else "it does not take its flags"
    return "it parses no flags"


def fault_of_extras(names: set[str]) -> str | None:
    declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return f"there is no extra {names - set(declared)}" if names - set(declared) else None


def configurations(text: str) -> list[dict]:
    """The blocks of a page that are configurations, or parts of one."""
    found = []
    for block in code_blocks(text):
        lines = [line for line in map(without_comment, block.splitlines()) if line.strip()]
        if lines and re.match(r"\w+:( |$)", lines[0]):
            found.append(yaml.safe_load(block))
    return found


@pytest.mark.parametrize("name", [name for name in PAGES if commands((ROOT / name).read_text(encoding="utf-8"))])
def test_the_commands_of_a_page_are_taken(name, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    found = {shlex.join(words): fault(words, monkeypatch) for words in commands((ROOT / name).read_text("utf-8"))}
    assert not {command: said for command, said in found.items() if said}, capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in PAGES if configurations((ROOT / name).read_text(encoding="utf-8"))])
def test_the_configurations_of_a_page_are_valid(name):
    for settings in configurations((ROOT / name).read_text(encoding="utf-8")):
        assert fault_of_settings(settings) is None


@pytest.mark.slow
def test_every_target_of_the_pages_can_be_planned(tmp_path):
    words = [wrapped(words) for name in PAGES for words in commands((ROOT / name).read_text("utf-8"))]
    parsed = [parse_args(rest)[1] for name, *rest in words if program(name) == "snakemake"]
    targets = {target for args in parsed for target in args.targets if target in RULES}
    checkout = tiny_checkout(tmp_path / "checkout")
    checkout.configure(synthesis={"new_videos": checkout.settings["corpus"]["videos"]}, report={"compare_with": ["a"]})
    assert checkout.pending(*sorted(targets))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("snakemake --cores 4 datasets", "there is no datasets"),
        ("snakemake --coars 4", "Snakemake does not take its flags"),
        ("snakemake --config 'vocoder={step: 3}'", "step"),
        ("snakemake --profile profiles/pbs", "no such profile"),
        ("python workflow/scripts/gone.py", "there is no workflow/scripts/gone.py"),
        ("python workflow/scripts/score_listening_test.py --keys a --answers b", "it does not take its flags"),
        ("make demos", "Makefile"),
        ('pip install -e ".[every]"', "every"),
        ("sbatch --mem 16G --wrap 'exec snakemake --cores 8 -- infer_every'", "there is no infer_every"),
        ("python3 -m venv .venv", None),
        ("snakemake --cores 8 -- infer_all", None),
    ],
)
def test_a_wrong_command_is_found(command, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    (words,) = commands(f"A page.\n\n    {command}\n")
    found = fault(words, monkeypatch)
    assert found is None if said is None else said in found
