# Synthesis: clips of the corpus, new videos, and videos with masked articulators.

import dataclasses

SYNTHESIS = SETTINGS.synthesis
INFER = f"{RESULTS}/infer"
INFER_NEW = f"{RESULTS}/infer_new"
MASKED = f"{RESULTS}/masked"
PACK = f"{RESULTS}/pack/model.pack"
# The scales of a CNN in int8 are found on clips of the dataset.
PACK_CALIBRATION = (
    [
        *expand(rules.write_filelist.output, split=TRAINED_SPLITS),
        *[
            file
            for made in (
                rules.prepare_clip.output.mri,
                rules.prepare_clip.output.mel_db,
                rules.prepare_clip.output.mask,
            )
            for file in paths(made, SEEN_CLIPS)
        ],
    ]
    if SETTINGS.pack.cnn == "int8"
    else []
)
BY_TORCH = SYNTHESIS.engine == "torch"
# Synthesis by torch uses a GPU if requested; a pack needs none.
ANALYSIS_GPUS = SETTINGS.analysis.gpus
ANALYSIS_LOCAL = CLIPS_LOCAL and not ANALYSIS_GPUS
SPEECH_GPUS = ANALYSIS_GPUS if BY_TORCH else 0
SPEECH_LOCAL = CLIPS_LOCAL and not SPEECH_GPUS
SPEECH_MB = SYNTHESIS.memory_mb or (2000 if BY_TORCH else 1000)
SPEECH_CODE = code_hash("synthesis.speech", "synthesis.checkpoints" if BY_TORCH else "pack.speak")

# Written beside the mel by a mel generator trained here that predicts F0.
PREDICTS_F0 = ACOUSTIC.pitch and not SYNTHESIS.mri_checkpoint
IS_UNTRAINED = SYNTHESIS.vocoder != "hifigan"
UNTRAINED_VOCODER = f"{RESULTS}/vocoder/{SYNTHESIS.vocoder.replace('-', '_')}.json"
SPEAKING_VOCODER = UNTRAINED_VOCODER if IS_UNTRAINED else text(SYNTHESIS.hifigan_checkpoint) or VOCODER_CHECKPOINT

# The models trained here, or given ones (from the lab or another results directory).
SPEECH_MODELS = {
    "mri-checkpoint": ACOUSTIC_IN_USE,
    "hifigan-checkpoint": SPEAKING_VOCODER,
    # The file of a vocoder without training holds all of it.
    "hifigan-config": (
        SPEAKING_VOCODER
        if IS_UNTRAINED
        else text(SYNTHESIS.hifigan_config) or f"{Path(SPEAKING_VOCODER).parent}/config.json"
    ),
    "scaler-json": text(SYNTHESIS.scaler_json),
}
SPEECH_MODEL_FILES = {name.replace("-", "_"): file for name, file in SPEECH_MODELS.items() if file}
SPEAKING_FILES = {**SPEECH_MODEL_FILES, **({} if BY_TORCH else {"pack": PACK})}
SPEECH_FLAGS = flags(**SPEECH_MODELS, context=ACOUSTIC.context, bf16=SYNTHESIS.bf16) if BY_TORCH else flags(model=PACK)


try:
    NEW_CLIPS = new_clips(SYNTHESIS.new_videos)
except UserError as error:
    raise WorkflowError(str(error)) from None


# A new video may have any frame rate: the models' is given, so a refusal could not be remedied.
NEW_VIDEO = dataclasses.replace(
    SETTINGS.video, resampling="nearest" if SETTINGS.video.resampling == "refuse" else SETTINGS.video.resampling
)

MODELS_DIGEST = f"{INFER}/models.json"
# `infer_new` uses existing models even if their inputs have changed.
AS_THEY_ARE = asks_for_new_speech() and models_are_made()


wildcard_constraints:
    mask="|".join(SYNTHESIS.masks) or "(?!)",
    new_id=ids_pattern(NEW_CLIPS) or "(?!)",


rule choose_untrained_vocoder:
    """Write the file that stands for a vocoder without training in place of a checkpoint."""
    output:
        UNTRAINED_VOCODER,
    log:
        f"{LOGS}/choose_untrained_vocoder.log",
    localrule: True
    params:
        mel=json.dumps(SPEC.to_dict(), sort_keys=True),
    run:
        from rtmri_speech.vocoder.untrained import write_untrained

        write_untrained(output[0], SYNTHESIS.vocoder, SPEC)


rule make_pack:
    """Export both models to a single file for ONNX Runtime (docs/packs.md)."""
    input:
        **SPEECH_MODEL_FILES,
        calibration=PACK_CALIBRATION,
    output:
        pack=PACK,
    log:
        f"{LOGS}/make_pack.log",
    benchmark:
        f"{BENCHMARKS}/make_pack.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(3000),
        runtime=more_on_retry(20),
    params:
        script=script("pack_model.py"),
        code=code_hash("pack.export"),
        flags=flags(**SPEECH_MODELS, context=ACOUSTIC.context, calibration=DATASET if PACK_CALIBRATION else None),
        settings=command_line_of(SETTINGS.pack),
    shell:
        "python {params.script:q} --output {output:q} --threads {threads} {params.flags} {params.settings} > {log:q} 2>&1"


if not AS_THEY_ARE:

    rule digest_models:
        """Write the hashes of the models in use. Clips depend on this small file instead of the models.

        A model that is made again with the same bytes therefore reruns nothing.
        """
        input:
            **SPEAKING_FILES,
        output:
            MODELS_DIGEST,
        log:
            f"{LOGS}/digest_models.log",
        localrule: True
        params:
            context=ACOUSTIC.context,
        run:
            from rtmri_speech.atomic import save_json

            save_json(output[0], models_digest())


rule infer_clip:
    """Synthesise a clip from its video; writes speech, recording, predicted mel and figure."""
    input:
        models=MODELS_DIGEST,
        mri=rules.prepare_clip.output.mri,
        wav=rules.prepare_clip.output.wav,
        speakers=lambda wildcards: speaker_lists([wildcards.id]),
    output:
        generated=f"{INFER}/{{id}}_generated.wav",
        original=f"{INFER}/{{id}}_original.wav",
        mel=f"{INFER}/{{id}}_mel.npy",
        log_mel=f"{INFER}/{{id}}_mel_log.npy",
        figure=f"{INFER}/{{id}}_mel.png",
        f0=[f"{INFER}/{{id}}_f0.npy"] if PREDICTS_F0 else [],
    log:
        f"{LOGS}/infer_clip/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/infer_clip/{{id}}.tsv"
    localrule: SPEECH_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(SPEECH_MB),
        runtime=more_on_retry(10),
        gpu=SPEECH_GPUS,
    params:
        script=script("run_mri_video_inference.py"),
        code=SPEECH_CODE,
        dataset=lambda wildcards: DATASET,
        directory=subpath(output.generated, parent=True),
        flags=SPEECH_FLAGS,
    shell:
        "python {params.script:q} --processed-dir {params.dataset:q} --clips {wildcards.id}"
        " --output-dir {params.directory:q} --threads {threads} --gpus {resources.gpu} {params.flags} > {log:q} 2>&1"


rule infer_new_video:
    """Synthesise a video that is not in the corpus."""
    input:
        models=MODELS_DIGEST,
        video=lambda wildcards: existing(NEW_CLIPS[wildcards.new_id].video),
        audio=lambda wildcards: existing(NEW_CLIPS[wildcards.new_id].audio or NEW_CLIPS[wildcards.new_id].video),
    output:
        generated=f"{INFER_NEW}/{{new_id}}_generated.wav",
        mel=f"{INFER_NEW}/{{new_id}}_mel.npy",
        log_mel=f"{INFER_NEW}/{{new_id}}_mel_log.npy",
        figure=f"{INFER_NEW}/{{new_id}}_mel.png",
        f0=[f"{INFER_NEW}/{{new_id}}_f0.npy"] if PREDICTS_F0 else [],
    log:
        f"{LOGS}/infer_new_video/{{new_id}}.log",
    benchmark:
        f"{BENCHMARKS}/infer_new_video/{{new_id}}.tsv"
    localrule: SPEECH_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(SPEECH_MB),
        runtime=more_on_retry(10),
        gpu=SPEECH_GPUS,
    params:
        script=script("run_mri_video_inference.py"),
        code=SPEECH_CODE,
        directory=subpath(output.generated, parent=True),
        clip=lambda wildcards: command_line_of(NEW_CLIPS[wildcards.new_id]),
        flags=SPEECH_FLAGS,
        recording=f"{command_line_of(NEW_VIDEO, None, 'resampling')} {command_line_of(SETTINGS.audio)}",
        speaker=lambda wildcards: flags(speaker=new_speaker(NEW_CLIPS[wildcards.new_id])),
    shell:
        "python {params.script:q} {params.clip} --output-dir {params.directory:q} --threads {threads} {params.flags}"
        " --gpus {resources.gpu} {params.recording} {params.speaker} > {log:q} 2>&1"


rule mask_video:
    """Darken an articulator in the video of a clip; lossless."""
    input:
        mri=rules.prepare_clip.output.mri,
        polygons=lambda wildcards: text(SYNTHESIS.masks[wildcards.mask].polygons) or [],
    output:
        f"{MASKED}/{{mask}}/videos/{{id}}.mp4",
    log:
        f"{LOGS}/mask_video/{{mask}}/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/mask_video/{{mask}}/{{id}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(500),
        runtime=more_on_retry(10),
    params:
        script=script("mask_rtmri_video.py"),
        code=code_hash("explain.masking", "signal.video"),
        rate=SPEC.frame_rate,
        settings=lambda wildcards: command_line_of(SYNTHESIS.masks[wildcards.mask]),
    shell:
        "python {params.script:q} --input {input.mri:q} --rate {params.rate} --crf 0 --output {output:q} {params.settings}"
        " > {log:q} 2>&1"


rule infer_masked:
    """Synthesise a masked video."""
    input:
        models=MODELS_DIGEST,
        video=rules.mask_video.output,
        wav=rules.prepare_clip.output.wav,
        speakers=lambda wildcards: speaker_lists([wildcards.id]),
    output:
        generated=f"{MASKED}/{{mask}}/infer/{{id}}_generated.wav",
        original=f"{MASKED}/{{mask}}/infer/{{id}}_original.wav",
        mel=f"{MASKED}/{{mask}}/infer/{{id}}_mel.npy",
        log_mel=f"{MASKED}/{{mask}}/infer/{{id}}_mel_log.npy",
        figure=f"{MASKED}/{{mask}}/infer/{{id}}_mel.png",
        f0=[f"{MASKED}/{{mask}}/infer/{{id}}_f0.npy"] if PREDICTS_F0 else [],
    log:
        f"{LOGS}/infer_masked/{{mask}}/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/infer_masked/{{mask}}/{{id}}.tsv"
    localrule: SPEECH_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(SPEECH_MB),
        runtime=more_on_retry(10),
        gpu=SPEECH_GPUS,
    params:
        script=script("run_mri_video_inference.py"),
        code=SPEECH_CODE,
        dataset=lambda wildcards: DATASET,
        directory=subpath(output.generated, parent=True),
        flags=SPEECH_FLAGS,
    shell:
        "python {params.script:q} --video {input.video:q} --audio {input.wav:q} --output-dir {params.directory:q}"
        " --processed-dir {params.dataset:q}"
        " --threads {threads} --gpus {resources.gpu} {params.flags} > {log:q} 2>&1"


rule compare_masked:
    """Show original and masked video side by side with the masked speech, and both predicted mels."""
    input:
        mri=rules.prepare_clip.output.mri,
        masked=rules.mask_video.output[0],
        mel=rules.infer_clip.output.mel,
        masked_mel=rules.infer_masked.output.mel,
        masked_wav=rules.infer_masked.output.generated,
        meta=META,
    output:
        video=f"{MASKED}/{{mask}}/{{id}}_side_by_side.mp4",
        figure=f"{MASKED}/{{mask}}/{{id}}_side_by_side.png",
    log:
        f"{LOGS}/compare_masked/{{mask}}/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/compare_masked/{{mask}}/{{id}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(500),
        runtime=more_on_retry(10),
    params:
        script=script("compare_masked.py"),
        code=code_hash("signal.video", "synthesis.speech"),
        dataset=subpath(input.meta, parent=True),
    shell:
        "python {params.script:q} --frames {input.mri:q} --masked-video {input.masked:q} --mel {input.mel:q}"
        " --masked-mel {input.masked_mel:q} --masked-audio {input.masked_wav:q} --processed-dir {params.dataset:q}"
        " --title {wildcards.id} --video {output.video:q} --figure {output.figure:q} > {log:q} 2>&1"
