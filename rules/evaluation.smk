# Scores of the test clips: the system in each context, and the reference systems (docs/scores.md).

from rtmri_speech.evaluation import JUDGED_CLIPS
from rtmri_speech.settings.use import Recognition

EVALUATION = f"{RESULTS}/evaluation"

# The configured context comes first.
CONTEXTS = list(dict.fromkeys([ACOUSTIC.context, *SETTINGS.evaluation.contexts]))
# A given vocoder was not fine-tuned from this configuration's base.
COMPARED_BASE = VOCODER_BASE if SPEAKING_VOCODER == VOCODER_CHECKPOINT else None
# The lab's scaler was fitted to all clips; its vocoder, and one fine-tuned from it, may have been trained on any clip.
TRAINED_ELSEWHERE = (
    ["scaler"]
    + (
        ["vocoder"]
        if text(SETTINGS.lab.hifigan_checkpoint) in (SPEECH_MODELS["hifigan-checkpoint"], VOCODER_BASE)
        else []
    )
    if LAB_DIR
    else []
)


rule evaluate_systems:
    """Synthesise and score all test clips with all systems; refuses clips seen in training."""
    input:
        models=[file for file in SPEECH_MODELS.values() if file],
        base=COMPARED_BASE or [],
        scaler=rules.fit_scaler.output[0],
        lists=expand(rules.write_filelist.output, split=SPLITS),
        # Training frames are needed for the nearest-neighbour look-up.
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SPLIT_CLIPS["training"] + TEST_CLIPS),
        mel_db=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SPLIT_CLIPS["training"] + TEST_CLIPS),
        mask=lambda wildcards: paths(rules.prepare_clip.output.mask, SPLIT_CLIPS["training"] + TEST_CLIPS),
        # Training clips determine the default F0 range.
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, SPLIT_CLIPS["training"] + TEST_CLIPS),
        phonemes=PHONEME_FILES,
        meta=META,
        # Whether training has seen a test clip is asked of what the split keeps together too.
        clips=CATALOGUE,
        speakers=speaker_lists(TEST_CLIPS),
    output:
        scores=f"{EVALUATION}/scores.json",
        table=report(
            f"{EVALUATION}/scores.csv",
            caption="../workflow/report/scores.rst",
            category="Evaluation",
            labels={"what": "scores", "of": "every clip and system"},
        ),
        sounds=directory(f"{EVALUATION}/sounds"),
    log:
        f"{LOGS}/evaluate_systems.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_systems.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 4
    resources:
        mem_mb=more_on_retry(3000),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 120)),
        gpu=ANALYSIS_GPUS,
    params:
        script=script("evaluate_systems.py"),
        dataset=subpath(input.scaler, parent=True),
        directory=subpath(output.scores, parent=True),
        code=code_hash("evaluation.systems"),
        flags=flags(
            mri_checkpoint=SPEECH_MODELS["mri-checkpoint"],
            scaler_json=SPEECH_MODELS["scaler-json"],
            hifigan_checkpoint=SPEECH_MODELS["hifigan-checkpoint"],
            hifigan_config=SPEECH_MODELS["hifigan-config"],
            base_checkpoint=COMPARED_BASE,
            context=CONTEXTS,
            bf16=SYNTHESIS.bf16,
            phonemes=PHONEMES if PHONEMES_KNOWN else None,
            trained_elsewhere=TRAINED_ELSEWHERE or None,
        ),
        settings=command_line_of(SETTINGS.evaluation, F0),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --output_dir {params.directory:q} --threads {threads}"
        " --gpus {resources.gpu} {params.flags} {params.settings} > {log:q} 2>&1"


rule evaluate_mel_generator:
    """Mel error on held-out clips in each context, with mean mel, nearest neighbours and a shuffled control."""
    input:
        model=SPEECH_MODELS["mri-checkpoint"],
        scaler=rules.fit_scaler.output[0],
        lists=expand(rules.write_filelist.output, split=SPLITS),
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, CLIPS),
        mel_db=lambda wildcards: paths(rules.prepare_clip.output.mel_db, CLIPS),
        mask=lambda wildcards: paths(rules.prepare_clip.output.mask, CLIPS),
        # Speech frames and F0 are determined from the recordings.
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, CLIPS),
        f0=rules.track_f0.output if ACOUSTIC.pitch else [],
        speakers=speaker_lists(CLIPS),
    output:
        f"{EVALUATION}/mel_errors.json",
    log:
        f"{LOGS}/evaluate_mel_generator.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_mel_generator.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 2
    resources:
        mem_mb=more_on_retry(2000),
        runtime=more_on_retry(minutes_for(CLIPS, 10)),
        gpu=ANALYSIS_GPUS,
    params:
        script=script("evaluate_mel_generator.py"),
        code=code_hash("evaluation.mel_generator"),
        dataset=subpath(input.scaler, parent=True),
        flags=flags(f0_dir=F0_TRACKS if ACOUSTIC.pitch else None),
        settings=command_line_of(SETTINGS.evaluation, F0),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --mri_checkpoint {input.model:q} --output {output:q}"
        " --gpus {resources.gpu} {params.flags} {params.settings} > {log:q} 2>&1"


rule compare_vocoder:
    """Compare copy synthesis of validation clips by the vocoder in use with Griffin-Lim."""
    input:
        checkpoint=SPEECH_MODELS["hifigan-checkpoint"],
        config=SPEECH_MODELS["hifigan-config"],
        clips=f"{DATASET}/hifigan_filelists/validation.txt",
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, SPLIT_CLIPS["validation"]),
    output:
        scores=f"{EVALUATION}/copy_synthesis.json",
        table=f"{EVALUATION}/copy_synthesis.md",
    log:
        f"{LOGS}/compare_vocoder.log",
    benchmark:
        f"{BENCHMARKS}/compare_vocoder.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1500),
        runtime=more_on_retry(minutes_for(SPLIT_CLIPS["validation"][:JUDGED_CLIPS], 60)),
    params:
        script=script("score_copy_synthesis.py"),
        code=code_hash("evaluation.copy_synthesis"),
        wavs=lambda wildcards, input: str(Path(input.wavs[0]).parent),
        flags=flags(bf16=SYNTHESIS.bf16),
        settings=command_line_of(SETTINGS.evaluation, F0),
    shell:
        "python {params.script:q} --checkpoint_file {input.checkpoint:q} --config {input.config:q}"
        " --input_wavs_dir {params.wavs:q} --input_file {input.clips:q} --output {output.scores:q}"
        " {params.flags} {params.settings} > {log:q} 2>&1"


# Requires validation clips.
JUDGED = rules.compare_vocoder.output.scores if SPLIT_CLIPS["validation"] else []


rule score_intelligibility:
    """Recognition error rates of the configured system, recordings, copy synthesis, Griffin-Lim and chance."""
    input:
        sounds=rules.evaluate_systems.output.sounds,
        clips=f"{DATASET}/hifigan_filelists/test.txt",
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, TEST_CLIPS),
        texts=PHONEME_FILES,
    output:
        scores=f"{EVALUATION}/intelligibility.json",
        table=f"{EVALUATION}/intelligibility.md",
    log:
        f"{LOGS}/score_intelligibility.log",
    benchmark:
        f"{BENCHMARKS}/score_intelligibility.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 4
    resources:
        mem_mb=more_on_retry(3000),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 60)),
    params:
        script=script("score_intelligibility.py"),
        code=code_hash("evaluation.intelligibility", "evaluation.recognition"),
        wavs=lambda wildcards, input: str(Path(input.wavs[0]).parent),
        rows=lambda wildcards, input: flags(
            generated=[f"{row}={input.sounds}/{row}" for row in ("ceiling", "griffin_lim", CONTEXTS[0])]
        ),
        flags=flags(transcripts=PHONEMES if PHONEME_FILES else None),
        settings=command_line_of(SETTINGS.evaluation, Recognition),
    shell:
        "python {params.script:q} --recorded {params.wavs:q} --input_file {input.clips:q} --threads {threads}"
        " --output {output.scores:q} {params.rows} {params.flags} {params.settings} > {log:q} 2>&1"


rule measure_formants:
    """Formants of the vowels of the configured system, copy synthesis and Griffin-Lim against the recordings."""
    input:
        sounds=rules.evaluate_systems.output.sounds,
        clips=f"{DATASET}/hifigan_filelists/test.txt",
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, TEST_CLIPS),
        phonemes=PHONEME_FILES,
    output:
        errors=f"{EVALUATION}/formants/formants.json",
        table=f"{EVALUATION}/formants/formants.md",
        vowels=f"{EVALUATION}/formants/vowels.tsv",
        space=f"{EVALUATION}/formants/vowel_space.png",
    log:
        f"{LOGS}/measure_formants.log",
    benchmark:
        f"{BENCHMARKS}/measure_formants.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(700),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 20)),
    params:
        script=script("measure_formants.py"),
        code=code_hash("evaluation.vowels"),
        wavs=lambda wildcards, input: str(Path(input.wavs[0]).parent),
        rows=lambda wildcards, input: flags(
            generated=[f"{row}={input.sounds}/{row}" for row in (CONTEXTS[0], "ceiling", "griffin_lim")]
        ),
        phonemes=lambda wildcards: PHONEMES,
        directory=subpath(output.errors, parent=True),
    shell:
        "python {params.script:q} --recorded {params.wavs:q} --input_file {input.clips:q} --phonemes {params.phonemes:q}"
        " --output_dir {params.directory:q} {params.rows} > {log:q} 2>&1"


# Requires phonemes with their times.
VOWELS = rules.measure_formants.output if PHONEMES_KNOWN and TEST_CLIPS else []
UNDERSTOOD = rules.score_intelligibility.output.scores if SETTINGS.evaluation.asr and TEST_CLIPS else []
