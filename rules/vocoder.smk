# The vocoder: fine-tuned on predicted mels, from a base; and how the demo's base was made.

from rtmri_speech.vocoder import VOCODER_STAGE_VERSION
from rtmri_speech.vocoder.config import read_config
from rtmri_speech.vocoder.naming import discriminator_file, steps_of

VOCODER = SETTINGS["vocoder"]
VOCODER_DIRECTORY = f"{RESULTS}/vocoder"


def of_checkout(path):
    """A file that the configuration names: as it is, or in this checkout."""
    return path if Path(path).exists() or Path(path).is_absolute() else str(BASE / path)


VOCODER_CONFIG = of_checkout(VOCODER["config"])
VOCODER_BASE = VOCODER["base"] and of_checkout(VOCODER["base"])

try:
    # Refused here, before anything is made, instead of after hours in the vocoder's own job.
    read_config(VOCODER_CONFIG).spec.require_same(SPEC, VOCODER_CONFIG, "the dataset (mel)")
    VOCODER_BASE_STEPS = steps_of(VOCODER_BASE) if VOCODER_BASE else 0
    VOCODER_STEPS = VOCODER_BASE_STEPS + VOCODER["steps"]
except UserError as error:
    raise WorkflowError(str(error)) from None

VOCODER_PAIR = (
    [VOCODER_BASE, str(discriminator_file(Path(VOCODER_BASE).parent, VOCODER_BASE_STEPS))] if VOCODER_BASE else []
)
VOCODER_CHECKPOINT = f"{VOCODER_DIRECTORY}/g_{VOCODER_STEPS:08d}"


rule fine_tune_vocoder:
    """HiFi-GAN fitted to the predicted mels. Its state and log are no outputs: a killed or retried job goes on from them."""
    input:
        config=VOCODER_CONFIG,
        base=VOCODER_PAIR,
        lists=expand(rules.write_filelist.output, part=TRAINED_PARTS),
        wavs=paths(rules.extract_mel.output.wav, SEEN_CLIPS),
        mels=paths(f"{MELS_PREDICTED}/{{id}}.npy", SEEN_CLIPS),
        true_mels=paths(f"{MELS_TRUE}/{{id}}.npy", PART_CLIPS["training"]) if VOCODER["extra_mels_weight"] else [],
    output:
        config=f"{VOCODER_DIRECTORY}/config.json",
        generator=VOCODER_CHECKPOINT,
        rest=f"{VOCODER_DIRECTORY}/do_{VOCODER_STEPS:08d}",
    log:
        f"{LOGS}/fine_tune_vocoder.log",
    benchmark:
        f"{BENCHMARKS}/fine_tune_vocoder.tsv"
    retries: 2
    conda:
        "../envs/rtmri.yaml"
    threads: 8
    resources:
        mem_mb=more_on_retry(VOCODER["memory_mb"]),
        runtime=VOCODER["runtime_minutes"],
        gpu=VOCODER["gpus"],
    params:
        script=script("train.py"),
        stage=VOCODER_STAGE_VERSION,
        directory=subpath(output.generator, parent=True),
        wavs=lambda wildcards, input: str(Path(input.wavs[0]).parent),
        mels=lambda wildcards, input: str(Path(input.mels[0]).parent),
        flags=flags(
            base=VOCODER_BASE,
            state_dir=f"{RESULTS}/.state/vocoder",
            training_steps=VOCODER_STEPS,
            fine_tuning=1,
            from_scratch=not VOCODER_BASE,
            extra_mels_dir=MELS_TRUE if VOCODER["extra_mels_weight"] else None,
            **{
                name: VOCODER[name]
                for name in (
                    "extra_mels_weight checkpoint_interval validation_interval summary_interval keep_last keep_every bf16"
                ).split()
            },
            archive_dir=VOCODER["archive"],
        ),
    shell:
        "python {params.script:q} --config {input.config:q} --input_wavs_dir {params.wavs:q}"
        " --input_mels_dir {params.mels:q} --input_training_file {input.lists[0]:q}"
        " --input_validation_file {input.lists[1]:q} --checkpoint_path {params.directory:q}"
        " --threads {threads} {params.flags} > {log:q} 2>&1"
