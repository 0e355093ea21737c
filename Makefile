# `make listen` synthesises a clip with the demo's trained models, `make demo` trains them. `make test` runs the quick tests (before each
# commit), `make faults` the slow ones: kills, full disks, damaged files, whole workflows, SLURM and a browser. All of them create the
# environment in .venv if necessary. `make results` regenerates docs/results.md and README's pictures from the demo's results, which it
# completes first. `make api` makes pages of the modules from their docstrings.

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

LISTEN := results/listen

.PHONY: listen demo test faults results api lint environment

listen: environment
	$(BIN)/python workflow/scripts/make_demo_corpus.py --out_dir $(LISTEN)/corpus --clips 1 --seed 11
	$(BIN)/python workflow/scripts/run_mri_video_inference.py --model models/demo_pack/demo.pack \
		--video $(LISTEN)/corpus/videos/000.mp4 --audio-dir $(LISTEN)/corpus/audio --output-dir $(LISTEN)
	@echo "Compare $(LISTEN)/000_generated.wav, speech from the video alone, with 000_original.wav, the recording."
	@echo "These models know one synthetic speaker; their scores are in models/demo_pack/README.md. 'make demo' trains them on your machine."

demo: environment
	$(BIN)/snakemake --cores $(CORES) results/infer/000_generated.wav

test: environment
	$(PYTEST) -m "not slow"

# These tests wait for processes, clusters and browsers: one worker more than cores.
faults: environment
	$(PYTEST) --numprocesses $(shell expr $(CORES) + 1) -m slow

results: environment
	$(BIN)/snakemake --cores $(CORES) all evaluation faithfulness
	$(BIN)/python workflow/scripts/score_further_clips.py --threads $(CORES)
	$(BIN)/python workflow/scripts/write_results.py --pictures

api: environment
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --builder html docs/api build/api
	@echo "build/api/index.html"

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy

environment: $(STAMP)

# Reinstalls only after changes to these files. The stamp is written last, so that a failed installation is not used.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,demo,metrics,pesq,cluster,dev]"
	touch $(STAMP)
