# The vocoder: fine-tuning of a base on predicted mels, and training of the demo's base.

from rtmri_speech.demo import BASE_SEED
from rtmri_speech.settings.vocoder import Training as VocoderTraining
from rtmri_speech.vocoder import VOCODER_STAGE_VERSION
from rtmri_speech.vocoder.naming import discriminators_beside, steps_of

VOCODER = SETTINGS.vocoder
VOCODER_DIRECTORY = f"{RESULTS}/vocoder"


VOCODER_CONFIG = text(of_checkout(VOCODER.config, BASE))
VOCODER_BASE = VOCODER.base and text(of_checkout(VOCODER.base, BASE))

try:
    VOCODER_BASE_STEPS = steps_of(VOCODER_BASE) if VOCODER_BASE else 0
    VOCODER_STEPS = VOCODER_BASE_STEPS + VOCODER.steps
except UserError as error:
    raise WorkflowError(str(error)) from None

VOCODER_PAIR = [VOCODER_BASE, str(discriminators_beside(VOCODER_BASE))] if VOCODER_BASE else []
VOCODER_CHECKPOINT = f"{VOCODER_DIRECTORY}/g_{VOCODER_STEPS:08d}"


rule fine_tune_vocoder:
    """Fine-tune HiFi-GAN on the predicted mels. State and log are not outputs, so that a killed or retried job can resume."""
    input:
        config=VOCODER_CONFIG,
        base=VOCODER_PAIR,
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
            state_dir=f"{RESULTS}/.state/vocoder",
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


# The demo's base vocoder, trained on other sentences and voices than the demo's, with a twelfth held out. As this takes hours on
# one core, it is in the repository (models/demo_vocoder); `snakemake --cores 4 score_base_vocoder` makes it again.
BASE_DIRECTORY = f"{RESULTS}/base_vocoder"
BASE_CLIPS, BASE_HELD_OUT, BASE_STEPS = 300, 12, 16200
BASE_IDS = [f"{clip:03d}" for clip in range(BASE_CLIPS)]
BASE_SPLITS = {
    "validation": BASE_IDS[BASE_HELD_OUT - 1 :: BASE_HELD_OUT],
    "training": [id for clip, id in enumerate(BASE_IDS) if clip % BASE_HELD_OUT != BASE_HELD_OUT - 1],
}


rule make_base_speech:
    """Generate ten minutes of synthetic speech for the base vocoder."""
    output:
        directory(f"{BASE_DIRECTORY}/corpus"),
    log:
        f"{LOGS}/make_base_speech.log",
    benchmark:
        f"{BENCHMARKS}/make_base_speech.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 8
    resources:
        mem_mb=more_on_retry(3000),
        runtime=more_on_retry(60),
    params:
        script=script("make_demo_corpus.py"),
        code=code_hash("demo.corpus"),
        flags=flags(clips=BASE_CLIPS, seed=BASE_SEED, audio_only=True),
    shell:
        "python {params.script:q} --out_dir {output:q} --jobs {threads} {params.flags} > {log:q} 2>&1"


rule write_base_filelist:
    """Write the ids of the training or validation set of the base vocoder."""
    output:
        f"{BASE_DIRECTORY}/{{split}}.txt",
    log:
        f"{LOGS}/write_base_filelist/{{split}}.log",
    wildcard_constraints:
        split="|".join(BASE_SPLITS),
    localrule: True
    params:
        ids=lambda wildcards: BASE_SPLITS[wildcards.split],
    run:
        from rtmri_speech.dataset.filelists import write_filelist

        write_filelist(output[0], params.ids)


rule train_base_vocoder:
    """Train the base from scratch with mel and STFT losses, and at the end with narrow discriminators."""
    input:
        config=BASE / "config" / "hifigan_demo_base.json",
        speech=rules.make_base_speech.output,
        lists=expand(rules.write_base_filelist.output, split=TRAINED_SPLITS),
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
            state_dir=f"{RESULTS}/.state/base_vocoder",
            training_steps=BASE_STEPS,
            checkpoint_interval=1000,
            bf16=True,
        ),
    shell:
        "python {params.script:q} --config {input.config:q} --input_wavs_dir {input.speech:q}/audio"
        " --input_training_file {input.lists[0]:q} --input_validation_file {input.lists[1]:q}"
        " --checkpoint_path {params.directory:q} --threads {threads} {params.flags} > {log:q} 2>&1"


rule score_base_vocoder:
    """Copy synthesis of the held-out clips by the base vocoder, compared with Griffin-Lim."""
    input:
        speech=rules.make_base_speech.output,
        held_out=f"{BASE_DIRECTORY}/validation.txt",
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
        "python {params.script:q} --checkpoint_file {input.generator:q} --input_wavs_dir {input.speech:q}/audio"
        " --input_file {input.held_out:q} --output {output.scores:q} > {log:q} 2>&1"
