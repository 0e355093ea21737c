"""Collect what a GPU machine without network access needs in addition to PyTorch, in a folder of at most 50 MiB.

    python benchmarks/gather_for_gpu.py --out for_a_gpu --python 3.12

collects wheels for that Python on Linux, this package, its tests marked gpu, the benchmarks and a few demo clips with
sound in FLAC. The machine must have torch, torchvision, NumPy, Pillow and OpenCV; other installed packages are used.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 50 * 2**20

WHEELS = (
    *("av", "cffi", "filelock", "pycparser", "pyyaml", "safetensors", "soundfile", "soxr", "timm", "tqdm"),
    *("absl-py", "packaging", "protobuf", "tensorboard"),
    *("iniconfig", "pluggy", "pygments", "pytest"),
)
"""Imports of the benchmarks and tests that a machine with PyTorch may lack."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

CARRIED = ("benchmarks", "config", "pyproject.toml", "tests/conftest.py", "tests/gpu", "tests/same_state.py")
CARRIED += ("tests/tiny_models.py", "workflow/scripts/train.py", "workflow/scripts/train_mri_acoustic_model.py")

FILMS, SOUNDS = 3, 12
"""Number of demo clips with video, and with sound only (for the vocoder)."""

README = """# For a machine with a GPU

    python3 start.py --minutes 8 --out out

installs missing packages from `wheels/` into `site/`, without network, and runs `benchmarks/on_gpu.py`. Results are in
`out/`: `on_a_gpu.json` and `on_a_gpu.md`, updated after each measurement. Other flags are passed on:
`--train config/hifigan_v1_11413.json --train_minutes 3` trains the vocoder in the remaining time, `--tiny --device cpu`
runs everything at toy size. The wheels are for Python {python} on Linux (x86-64). The machine must have torch,
torchvision, NumPy, Pillow and OpenCV (`cv2`); their versions are in the results.
"""

START = '''"""Install missing packages from wheels/ into site/, and run benchmarks/on_gpu.py."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def is_there(wheel):
    try:
        importlib.metadata.version(wheel.name.split("-")[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


missing = [name for name in ("torch", "torchvision", "numpy", "PIL", "cv2") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"{sys.executable}: has no {', '.join(missing)}; use a Python with PyTorch, NumPy, Pillow and OpenCV.")
wheels = [str(wheel) for wheel in sorted((HERE / "wheels").glob("*.whl")) if not is_there(wheel)]
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade"]
if wheels:
    subprocess.run([*pip, "--target", str(HERE / "site"), *wheels], check=True)
path = os.pathsep.join(filter(None, [str(HERE / "site"), os.environ.get("PYTHONPATH")]))
command = [sys.executable, str(HERE / "benchmarks" / "on_gpu.py"), *sys.argv[1:]]
sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode)
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--python", default="3.12", help="Python version of that machine")
    args = parser.parse_args()
    if args.out.exists():
        sys.exit(f"{args.out}: exists; give a new folder.")
    gather_wheels(args.out / "wheels", args.python)
    for name in CARRIED:
        copy(ROOT / name, args.out / name)
    make_clips(args.out / "clips")
    (args.out / "README.md").write_text(README.format(python=args.python), encoding="utf-8")
    (args.out / "start.py").write_text(START, encoding="utf-8")
    files = sorted((path for path in args.out.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    size = sum(path.stat().st_size for path in files)
    largest = ", ".join(f"{path.name} {path.stat().st_size / 2**20:.1f}" for path in files[:3])
    print(f"{args.out}: {size / 2**20:.1f} MiB in {len(files)} files; the largest, MiB: {largest}")
    if size > LIMIT:
        sys.exit(f"{args.out}: is larger than {LIMIT / 2**20:.0f} MiB; carry fewer files.")


def gather_wheels(folder: Path, python: str) -> None:
    pip = [sys.executable, "-m", "pip"]
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    only = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    subprocess.run([*pip, "download", "--quiet", "--no-deps", *only, "-d", folder, *WHEELS], check=True)
    # From a copy, because setuptools writes build/ next to the sources.
    with tempfile.TemporaryDirectory() as place:
        for name in ("src", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            copy(ROOT / name, Path(place, name))
        subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "-w", folder, place], check=True)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def make_clips(folder: Path) -> None:
    """Write demo clips: some as mp4 with FLAC, the others as FLAC only."""
    import soundfile

    from rtmri_speech.demo.corpus import clip_id, make_clip, make_speech

    folder.mkdir()
    with tempfile.TemporaryDirectory() as place:
        wav = Path(place, "sound.wav")
        for clip in range(FILMS + SOUNDS):
            name = folder / clip_id(clip)
            if clip < FILMS:
                make_clip(clip, 0, name.with_suffix(".mp4"), wav, Path(place, "description.json"))
            else:
                make_speech(clip, 0, wav)
            soundfile.write(name.with_suffix(".flac"), *soundfile.read(wav, dtype="int16"), subtype="PCM_16")


if __name__ == "__main__":
    main()
