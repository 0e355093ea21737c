"""Files, modules, scripts and rules named in README and docs exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
)
FOLDERS = ["src", "workflow", "rules", "config", "docs", "tests", "benchmarks", "models", "profiles", "envs"]
OLD_SYSTEM = {"env.py", "meldataset.py", "mri_acoustic_model.py", "utils.py"}
"""Files of the memo's system that docs/from_the_memo.md puts ours beside."""

RULES = {
    rule
    for file in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    for rule in re.findall(r"^ *(?:rule|checkpoint) (\w+):", file.read_text(encoding="utf-8"), re.MULTILINE)
}


def missing(text: str, page: Path) -> list[str]:
    """Return the names on a page that do not exist in the checkout."""
    found = []
    words = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(\S.*)", text, re.MULTILINE)
    paths = {word for words_ in words for word in re.findall(r"[\w./*{},-]+", words_)}
    # A file that the reader is to write, or that a command of the page makes, is none of the checkout's.
    written = {"config/mine.yaml", "config/my_lab.yaml"}
    for path in sorted(paths - written - OLD_SYSTEM):
        first = path.split("/")[0]
        if "/" in path and first in FOLDERS and "{" not in path and not any(ROOT.glob(path.rstrip("/."))):
            found.append(path)
        if "/" not in path and re.fullmatch(r"\w+\.(py|smk)", path) and not any(ROOT.glob(f"[!.]*/**/{path}")):
            found.append(path)
    for module in re.findall(r"\brtmri_speech((?:\.\w+)+)", text):
        place = ROOT / "src" / "rtmri_speech" / module[1:].replace(".", "/")
        # The last name may be one within the module.
        if not any(p.is_dir() or p.with_suffix(".py").is_file() for p in (place, place.parent)):
            found.append(module[1:])
    rules = re.findall(r"\brules? `(\w+)`", text) + re.findall(r"^\| `(\w+)` \| \d+ \| \d", text, re.MULTILINE)
    found += sorted(set(rules) - RULES)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
            found.append(target)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_names_on_a_page_exist(name):
    assert missing((ROOT / name).read_text(encoding="utf-8"), ROOT / name) == []


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("`src/rtmri_speech/evaluation/mel_errors.py`", ["src/rtmri_speech/evaluation/mel_errors.py"]),
        ("    python benchmarks/bench_gone.py --all", ["benchmarks/bench_gone.py"]),
        ("`gone.py` and `write_results.py`", ["gone.py"]),
        ("`rtmri_speech.evaluation.mel_errors.of`", ["evaluation.mel_errors.of"]),
        ("| `decode_frames` | 40 | 19 | 4 | 80 |", ["decode_frames"]),
        ("rule `extract_mel`, rule `prepare_clip`", ["extract_mel"]),
        ("![a clip](docs/sample_000.jpg)", ["docs/sample_000.jpg"]),
        ("`src/rtmri_speech/evaluation/metrics.py`, `rules/*.smk`, `rtmri_speech.evaluation.metrics`", []),
    ],
)
def test_missing_names_are_found(text, gone):
    assert missing(text, ROOT / "README.md") == gone
