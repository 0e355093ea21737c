"""The command for GPU machines, at toy size on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.mark.slow
def test_every_part_runs_at_toy_size(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, BENCHMARKS / "on_gpu.py", "--tiny", "--device", "cpu", "--minutes", "6", "--out", out]
    command += ["--train", ROOT / "config" / "hifigan_demo_base.json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    content = json.loads((out / "on_a_gpu.json").read_text(encoding="utf-8"))
    titles = ["Prepared", "Tests marked gpu", "Speed", "Against the CPU", "Training"]
    assert [(part["title"], part["state"]) for part in content["parts"]] == [(title, "finished") for title in titles]
    checks, speed, comparison = (part["tables"] for part in content["parts"][1:4])
    results = [result for _, _, result in checks[0]["rows"]]
    assert results.count("passed") > 15
    assert not [result for result in results if result.startswith(("failure", "error"))]
    # The CPU in float32, compared with itself.
    assert {row[2] for row in comparison[0]["rows"] if row[1] == "float32"} == {0.0}
    assert all(table["rows"] for table in speed)
    assert not [note for part in content["parts"] for note in part["notes"] if note.startswith("Not ")]
    files = list(out.iterdir())
    assert len(files) <= 8
    assert all(file.stat().st_size <= 16 * 2**20 for file in files)
    assert "not representative of the speed" in (out / "on_a_gpu.md").read_text(encoding="utf-8")
    # Results at toy size are refused for the docs.
    docs = [sys.executable, BENCHMARKS / "write_on_a_gpu.py", out / "on_a_gpu.json", "--output", tmp_path / "page.md"]
    refused = subprocess.run(list(map(str, docs)), capture_output=True, text=True)
    assert refused.returncode == 1
    assert "is not a full-size result" in refused.stderr


def test_docs_page_without_gpu_results_is_up_to_date(tmp_path):
    page = tmp_path / "page.md"
    subprocess.run([sys.executable, BENCHMARKS / "write_on_a_gpu.py", "--output", page], check=True)
    text = (ROOT / "docs" / "on_a_gpu.md").read_text(encoding="utf-8")
    assert "Not yet run on a GPU" in page.read_text(encoding="utf-8")
    assert text == page.read_text(encoding="utf-8") or "Not yet run on a GPU" not in text


def test_time_limit_is_kept(tmp_path):
    command = [sys.executable, BENCHMARKS / "on_gpu.py", "--tiny", "--device", "cpu", "--minutes", "0.1"]
    run = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, timeout=60)
    assert run.returncode == 3
    content = json.loads((tmp_path / "out" / "on_a_gpu.json").read_text(encoding="utf-8"))
    assert content["parts"][-1]["state"] == "stopped at the time limit"
    assert content["seconds"] < 6
