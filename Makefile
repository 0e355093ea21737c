# Commands that do all the set-up they need: `make demo`, `make test` and `make faults`. The environment in .venv is made once.
# `make test` takes minutes and belongs before each commit; `make faults` runs the rest: kills, full disks, damaged files,
# whole workflows, SLURM and a browser.
# `make results` writes docs/results.md and README's pictures anew from the demo's results, which it makes or completes.

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test faults results lint environment

demo: environment
	$(BIN)/snakemake --cores $(CORES) results/infer/000_generated.wav

test: environment
	$(PYTEST) -m "not slow"

faults: environment
	$(PYTEST) -m slow

results: environment
	$(BIN)/snakemake --cores $(CORES)
	$(BIN)/python workflow/scripts/score_further_clips.py --threads $(CORES)
	$(BIN)/python workflow/scripts/write_results.py --pictures

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules

environment: $(STAMP)

# Anew only when what is to be installed has changed; the stamp is written last, so that a broken set-up is not taken for one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,demo,metrics,pesq,cluster,dev]"
	touch $(STAMP)
