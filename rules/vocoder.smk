# The vocoder: fine-tuning of a base on predicted mels, and training of the demo's base.

from rtmri_speech.demo import BASE_SEEDS
from rtmri_speech.settings.vocoder import Training as VocoderTraining
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION
from rtmri_speech.vocoder.naming import steps_of

VOCODER = SETTINGS.vocoder
VOCODER_DIRECTORY = f"{RESULTS}/vocoder"


VOCODER_CONFIG = text(of_checkout(VOCODER.config, BASE))
VOCODER_BASE = VOCODER.base and text(of_checkout(VOCODER.base, BASE))

BASE_TRAINING = SETTINGS.base_vocoder
BASE_START = BASE_TRAINING.base and text(of_checkout(BASE_TRAINING.base, BASE))

try:
    VOCODER_STEPS = VOCODER.steps + (steps_of(VOCODER_BASE) if VOCODER_BASE else 0)
    BASE_STEPS = BASE_TRAINING.steps + (steps_of(BASE_START) if BASE_START else 0)
except UserError as error:
    raise WorkflowError(str(error)) from None

VOCODER_CHECKPOINT = f"{VOCODER_DIRECTORY}/g_{VOCODER_STEPS:08d}"


rule fine_tune_vocoder:
    """Fine-tune HiFi-GAN, on the predicted mels. State and log are not outputs, so that a killed or retried job can resume."""
    input:
        config=VOCODER_CONFIG,
        base=pair_of(VOCODER_BASE),
        lists=expand(rules.write_filelist.output, split=TRAINED_SPLITS),
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, SEEN_CLIPS),
        # One file represents all mels, which are made by the same job. Listing all of them would make planning time quadratic
        # in the number of clips.
        mels=rules.export_predicted_mels.output[0],
        true_mels=lambda wildcards: (
            paths(f"{MELS_TRUE}/{{id}}.npy", SPLIT_CLIPS["training"]) if VOCODER.extra_mels_weight else []
        ),
    output:
        config=f"{VOCODER_DIRECTORY}/config.json",
        generator=VOCODER_CHECKPOINT,
        rest=f"{VOCODER_DIRECTORY}/do_{VOCODER_STEPS:08d}",
        provenance=provenance_of("vocoder"),
    log:
        f"{LOGS}/fine_tune_vocoder.log",
    benchmark:
        f"{BENCHMARKS}/fine_tune_vocoder.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: VOCODER.threads
    resources:
        mem_mb=more_on_retry(VOCODER.memory_mb),
        # Not increased on retry: the next attempt resumes from the state.
        runtime=VOCODER.runtime_minutes,
        gpu=VOCODER.gpus,
    params:
        script=script("train.py"),
        stage=VOCODER_STAGE_VERSION,
        directory=subpath(output.generator, parent=True),
        wavs=lambda wildcards, input: str(Path(input.wavs[0]).parent),
        mels=subpath(input.mels, parent=True),
        flags=flags(
            base=VOCODER_BASE,
            state_dir=f"{STATES}/vocoder",
            training_steps=VOCODER_STEPS,
            fine_tuning=1,
            from_scratch=not VOCODER_BASE,
            extra_mels_dir=MELS_TRUE if VOCODER.extra_mels_weight else None,
        ),
        settings=command_line_of(VOCODER, VocoderTraining),
    shell:
        "python {params.script:q} --gpus {resources.gpu} --config {input.config:q} --input_wavs_dir {params.wavs:q}"
        " --input_mels_dir {params.mels:q} --input_training_file {input.lists[0]:q}"
        " --input_validation_file {input.lists[1]:q} --checkpoint_path {params.directory:q}"
        " --provenance {output.provenance:q} --threads {threads} {params.flags} {params.settings} > {log:q} 2>&1"


# A base vocoder for vocoder.base, trained on directories of speech; by default on synthetic speech of other sentences and voices than
# the demo's. As this takes hours on one core, the demo's is in the repository (models/demo_vocoder).
BASE_DIRECTORY = f"{RESULTS}/base_vocoder"
BASE_CONFIG = text(of_checkout(BASE_TRAINING.config, BASE))
BASE_CLIPS = {"training": 275, "validation": 25}


rule make_base_speech:
    """Generate nine minutes of synthetic speech for training, and one for validation."""
    output:
        directory(f"{BASE_DIRECTORY}/synthetic/{{split}}/audio"),
    log:
        f"{LOGS}/make_base_speech/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/make_base_speech/{{split}}.tsv"
    wildcard_constraints:
        split="|".join(BASE_CLIPS),
    conda:
        "../envs/rtmri.yaml"
    threads: 8
    resources:
        mem_mb=more_on_retry(3000),
        runtime=more_on_retry(60),
    params:
        script=script("make_demo_corpus.py"),
        code=code_hash("demo.corpus"),
        directory=subpath(output[0], parent=True),
        flags=lambda wildcards: flags(
            clips=BASE_CLIPS[wildcards.split], seed=BASE_SEEDS[wildcards.split], audio_only=True
        ),
    shell:
        "python {params.script:q} --out_dir {params.directory:q} --jobs {threads} {params.flags} > {log:q} 2>&1"


rule prepare_base_speech:
    """Convert speech to clips of one sampling rate and level, with file lists of the training and validation sets."""
    input:
        config=BASE_CONFIG,
        speech=[text(path) for path in BASE_TRAINING.speech] or expand(rules.make_base_speech.output, split="training"),
        held_out=[text(path) for path in BASE_TRAINING.held_out]
        or expand(rules.make_base_speech.output, split="validation"),
    output:
        audio=directory(f"{BASE_DIRECTORY}/clips/audio"),
        lists=expand(f"{BASE_DIRECTORY}/clips/{{split}}.txt", split=TRAINED_SPLITS),
    log:
        f"{LOGS}/prepare_base_speech.log",
    benchmark:
        f"{BENCHMARKS}/prepare_base_speech.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1000),
        runtime=more_on_retry(60),
    params:
        script=script("prepare_base_speech.py"),
        code=code_hash("vocoder.speech"),
        directory=subpath(output.audio, parent=True),
    shell:
        "python {params.script:q} --config {input.config:q} --speech {input.speech:q} --held_out {input.held_out:q}"
        " --out_dir {params.directory:q} > {log:q} 2>&1"


rule train_base_vocoder:
    """Train the base, from scratch or from an earlier one, as its config says."""
    input:
        config=BASE_CONFIG,
        base=pair_of(BASE_START),
        audio=rules.prepare_base_speech.output.audio,
        lists=rules.prepare_base_speech.output.lists,
    output:
        f"{BASE_DIRECTORY}/config.json",
        f"{BASE_DIRECTORY}/g_{BASE_STEPS:08d}",
        f"{BASE_DIRECTORY}/do_{BASE_STEPS:08d}",
    log:
        f"{LOGS}/train_base_vocoder.log",
    benchmark:
        f"{BENCHMARKS}/train_base_vocoder.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(2000),
        # Not increased on retry, as above.
        runtime=480,
    params:
        script=script("train.py"),
        stage=VOCODER_STAGE_VERSION,
        directory=subpath(output[0], parent=True),
        flags=flags(
            base=BASE_START,
            state_dir=f"{STATES}/base_vocoder",
            training_steps=BASE_STEPS,
            checkpoint_interval=min(1000, BASE_TRAINING.steps),
            validation_interval=min(1000, BASE_TRAINING.steps),
            bf16=True,
        ),
    shell:
        "python {params.script:q} --config {input.config:q} --input_wavs_dir {input.audio:q}"
        " --input_training_file {input.lists[0]:q} --input_validation_file {input.lists[1]:q}"
        " --checkpoint_path {params.directory:q} --threads {threads} {params.flags} > {log:q} 2>&1"


rule score_base_vocoder:
    """Copy synthesis of the held-out clips by the base vocoder, compared with Griffin-Lim."""
    input:
        audio=rules.prepare_base_speech.output.audio,
        held_out=f"{BASE_DIRECTORY}/clips/validation.txt",
        generator=rules.train_base_vocoder.output[1],
    output:
        table=f"{BASE_DIRECTORY}/scores.md",
        scores=f"{BASE_DIRECTORY}/scores.json",
    log:
        f"{LOGS}/score_base_vocoder.log",
    benchmark:
        f"{BENCHMARKS}/score_base_vocoder.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1500),
        runtime=more_on_retry(20),
    params:
        script=script("score_copy_synthesis.py"),
        code=code_hash("evaluation.copy_synthesis"),
    shell:
        "python {params.script:q} --checkpoint_file {input.generator:q} --input_wavs_dir {input.audio:q}"
        " --input_file {input.held_out:q} --output {output.scores:q} > {log:q} 2>&1"
