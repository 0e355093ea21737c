"""Structure of the package: imports follow the layers, the package is cheap to import, environments agree."""

import ast
import itertools
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "rtmri_speech"
ORDER = [
    "log",
    "threads",
    "errors",
    "command_line",
    "obsolete_flags",
    "devices",
    "untrusted",
    "paths",
    "atomic",
    "tables",
    "directory_lock",
    "workers",
    "code_version",
    "provenance",
    "settings",
    "signal",
    "configuration",
    "dataset",
    "corpora",
    "training",
    "graphs",
    "acoustic",
    "vocoder",
    "synthesis",
    "pack",
    "evaluation",
    "explain",
    "training_cost",
    "preflight",
    "report",
    "takeover",
    "start",
]
"""Layers: each may import those before it. The demo is separate: it may import signal, and nothing imports it."""

LIGHT = [
    "dataset.process",
    "dataset.frames",
    "dataset.sound",
    "dataset.figure",
    "dataset.normalize",
    "corpora.configured",
    "configuration",
    "pack.speak",
    "training_cost",
    "preflight",
    "code_version",
    "provenance",
    "devices",
    "directory_lock",
]
"""Modules that a clip's job or the Snakefile imports: they must not bring in what takes seconds to import."""

HEAVY = {"torch", "librosa", "scipy.signal", "matplotlib", "pandas", "timm"}

JOBS_OF_A_CLIP = [
    "preprocess_rtmri_data",
    "normalize_videos",
    "run_mri_video_inference",
    "export_groundtruth_mels",
    "make_demo_corpus",
    "mask_rtmri_video",
    "compare_masked",
    "create_gradcam_overlay_video",
    "mri_gradcam_formant",
]
"""Scripts whose jobs are of one clip: they read settings, but check no configuration and so need no pydantic."""


def floor(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path):
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if here == "__init__":
        return
    allowed = (
        {"threads", "errors", "atomic", "signal", "demo"} if here == "demo" else set(ORDER[: ORDER.index(here) + 1])
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("rtmri_speech."):
                assert floor(name) in allowed, f"{here} imports {name}"
            assert name.split(".")[0] != "vocaltractlab_cython" or here == "demo"


def test_importing_the_package_imports_nothing_else():
    code = "import sys; before = set(sys.modules); import rtmri_speech; print(set(sys.modules) - before)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert eval(out) == {"rtmri_speech"}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, rtmri_speech.{module}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("script", JOBS_OF_A_CLIP)
def test_the_job_of_a_clip_does_without_pydantic(script):
    path = ROOT / "workflow" / "scripts" / f"{script}.py"
    imports = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", None) != "__future__"
    ]
    code = "import sys; sys.modules['pydantic'] = None\n" + "\n".join(imports)
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("script", sorted((ROOT / "workflow" / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_help_of_every_script_is_light(script):
    code = (
        f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        f"except SystemExit as end: print(end.code, sorted(set(sys.modules) & {HEAVY | {'numpy'}!r}), file=sys.stderr)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stderr.strip() == "0 []"
    assert "usage:" in out.stdout


def test_the_conda_environment_has_the_packages_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    environment = yaml.safe_load((ROOT / "envs" / "rtmri.yaml").read_text(encoding="utf-8"))
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(pip) == sorted([*project["dependencies"], *extras["train"], *extras["demo"], *extras["metrics"]])
    assert f"python{project['requires-python']}" in environment["dependencies"]


def test_constraints_lie_within_the_ranges_of_pyproject():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    for text in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(text)
        if requirement.name in pins:
            assert pins[requirement.name] in requirement.specifier, text
