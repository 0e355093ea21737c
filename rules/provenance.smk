# Provenance of the results, one JSON per stage. Trainings write their own, which includes the runs that contributed steps.

import json

SOURCES = f"{DATASET}/sources.txt"
DATASET_RECORD = f"{RESULTS}/provenance/dataset.json"

# For each stage: code modules, relevant settings, seed, inputs, and results that must exist before the record is written.
# Frames and mels are covered by the record of the dataset, so that they are hashed only once.
RECORDED = {
    "dataset": {
        "modules": [
            "dataset.process",
            "dataset.frames",
            *(["takeover.lab_dataset"] if LAB_DIR else []),
            "dataset.sound",
            "dataset.windows",
            "dataset.scaler",
            "dataset.meta",
        ],
        "settings": {
            name: plain(getattr(SETTINGS, name)) for name in "corpus lab video audio mel windows split".split()
        },
        "seed": SETTINGS.split.seed,
        "inputs": [],
        "products": lambda: [META, *(source for clip in CLIPS.values() for source in sources_of(clip))],
    },
    "synthesis": {
        "modules": ["synthesis.speech", "synthesis.checkpoints" if BY_TORCH else "pack.speak"],
        "settings": {"context": ACOUSTIC.context, "engine": SYNTHESIS.engine, "bf16": SYNTHESIS.bf16},
        "inputs": [*SPEECH_MODEL_FILES.values(), *([] if BY_TORCH else [PACK]), DATASET_RECORD],
        "products": lambda: paths(rules.infer_clip.output.generated, TEST_CLIPS),
    },
    "evaluation": {
        "modules": ["evaluation.systems"],
        "settings": {"contexts": CONTEXTS, "bf16": SYNTHESIS.bf16, "f0_range": SETTINGS.evaluation.f0_range},
        # Seed of the bootstrap intervals.
        "seed": 0,
        "inputs": [*filter(None, [*SPEECH_MODELS.values(), COMPARED_BASE]), *PHONEME_FILES, DATASET_RECORD],
        "products": lambda: [rules.evaluate_systems.output.scores],
    },
    "gradcam": {
        "modules": ["explain.clips", "explain.aggregate"],
        "settings": {
            "bands": BANDS,
            "context": ACOUSTIC.context,
            **{name: value for name, value in plain(EXPLAIN).items() if name != "masking"},
        },
        "inputs": [
            *filter(None, [SPEECH_MODELS["mri-checkpoint"], SPEECH_MODELS["scaler-json"], REGIONS]),
            *PHONEME_FILES,
            DATASET_RECORD,
        ],
        "products": lambda: [rules.aggregate_gradcam.output.facts],
    },
    "masking": {
        "modules": ["explain.study"],
        "settings": {"bands": BANDS, "context": ACOUSTIC.context, **plain(EXPLAIN.masking)},
        "inputs": [*filter(None, [*SPEECH_MODELS.values(), MASK_REGIONS]), DATASET_RECORD],
        "products": lambda: [rules.masking_study.output.table],
    },
    "faithfulness": {
        "modules": ["explain.check"],
        "settings": {"bands": BANDS, "context": ACOUSTIC.context},
        # Seed of the first clip's random network and random orders; the others follow.
        "seed": 0,
        "inputs": [*filter(None, [SPEECH_MODELS["mri-checkpoint"], REGIONS]), *TRUTH, DATASET_RECORD],
        "products": lambda: [rules.check_explanations.output.measures],
    },
}


rule list_sources:
    """List the recordings of the dataset, without duplicates."""
    output:
        SOURCES,
    log:
        f"{LOGS}/list_sources.log",
    localrule: True
    params:
        files=lambda wildcards: list(dict.fromkeys(source for clip in CLIPS.values() for source in sources_of(clip))),
    run:
        from rtmri_speech.atomic import save_text

        save_text(output[0], "".join(f"{file}\n" for file in params.files))


rule record_provenance:
    """Record the provenance of a stage: code, packages, settings, seed, and hashes of the inputs."""
    input:
        files=lambda wildcards: RECORDED[wildcards.stage]["inputs"],
        lists=lambda wildcards: [SOURCES] if wildcards.stage == "dataset" else [],
        made=lambda wildcards: RECORDED[wildcards.stage]["products"](),
    output:
        provenance_of("{stage}"),
    log:
        f"{LOGS}/record_provenance/{{stage}}.log",
    benchmark:
        f"{BENCHMARKS}/record_provenance/{{stage}}.tsv"
    wildcard_constraints:
        stage="|".join(RECORDED),
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(300),
        # Reads every recording to hash it.
        runtime=more_on_retry(minutes_for(CLIPS, 1)),
    params:
        script=script("record_provenance.py"),
        code=lambda wildcards: code_hash(*RECORDED[wildcards.stage]["modules"]),
        flags=lambda wildcards: flags(
            modules=RECORDED[wildcards.stage]["modules"],
            settings=json.dumps(RECORDED[wildcards.stage]["settings"], sort_keys=True),
            seed=RECORDED[wildcards.stage].get("seed"),
        ),
    shell:
        "python {params.script:q} --stage {wildcards.stage} --inputs {input.files:q} --input_lists {input.lists:q}"
        " --output {output:q} {params.flags} > {log:q} 2>&1"


# Records of the stages shown on the page.
SHOWN_RECORDS = [
    f"{RESULTS}/provenance/{stage}.json"
    for stage in (
        "dataset",
        *(["acoustic"] if SPEECH_MODELS["mri-checkpoint"] == ACOUSTIC_MODEL else []),
        *(["vocoder"] if SPEECH_MODELS["hifigan-checkpoint"] == VOCODER_CHECKPOINT else []),
        "evaluation",
        *(["gradcam"] if SETTINGS.report.films else []),
    )
]
