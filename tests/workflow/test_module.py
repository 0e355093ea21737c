"""The workflow as a module of another one, from a checkout that lies elsewhere."""

import os
import subprocess
import sys

import pytest
import yaml

pytestmark = pytest.mark.slow

HOST = """configfile: "config.yaml"


module rtmri:
    snakefile:
        "{checkout}/Snakefile"
    config:
        config["rtmri"]


use rule * from rtmri


rule count_clips:
    input:
        rules.write_meta.output,
        "r/dataset/hifigan_filelists/training.txt",
    output:
        "clips.txt",
    shell:
        "true && wc -l < {{input[1]}} > {{output}}"
"""


def test_another_workflow_plans_and_makes_the_dataset(made_dataset, tmp_path):
    host = tmp_path / "host"
    (host / "workflow").mkdir(parents=True)
    checkout = made_dataset.directory
    corpus = made_dataset.settings["corpus"]
    settings = {
        **made_dataset.settings,
        "results": "r",
        "corpus": {**corpus, **{name: str(checkout / corpus[name]) for name in ("videos", "audio")}},
    }
    (host / "config.yaml").write_text(yaml.safe_dump({"rtmri": settings}, allow_unicode=True), encoding="utf-8")
    (host / "workflow" / "Snakefile").write_text(HOST.format(checkout=checkout), encoding="utf-8")

    def snakemake(*arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        run = subprocess.run(command, cwd=host, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    assert "prepare_clip" in snakemake("-n", "dataset")
    snakemake("dataset", "clips.txt")
    # The other's own commands stay shell lines.
    assert (host / "clips.txt").read_text().strip() == "2"
    for part in ("training", "test"):
        name = f"dataset/hifigan_filelists/{part}.txt"
        assert (host / "r" / name).read_text() == (made_dataset.results / name).read_text()
    assert "Nothing to be done" in snakemake("dataset")
