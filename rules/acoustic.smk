# The mel generator: training, and the mels it predicts for the vocoder's fine-tuning.

from rtmri_speech.acoustic import ACOUSTIC_STAGE_VERSION

ACOUSTIC = SETTINGS["acoustic"]
ACOUSTIC_MODEL = f"{RESULTS}/acoustic/mri_acoustic_model.pt"
# The model of this configuration, or a given one: the lab's, or that of another results directory.
ACOUSTIC_IN_USE = SETTINGS["synthesis"]["mri_checkpoint"] or ACOUSTIC_MODEL
MELS_PREDICTED = f"{RESULTS}/mels_ft_log_normalized"
MELS_TRUE = f"{DATASET}/mels_gt_log"
PREDICTION_FLAGS = flags(context=ACOUSTIC["context"], amp=ACOUSTIC["prediction_precision"])


rule train_acoustic:
    """The mel generator's best checkpoint. Its state and log are no outputs: a killed or retried job goes on from them."""
    input:
        scaler=rules.fit_scaler.output,
        lists=expand(rules.write_filelist.output, part=TRAINED_PARTS),
        pairs=expand(rules.write_pairs.output, part=TRAINED_PARTS),
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SEEN_CLIPS),
        mel_db=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SEEN_CLIPS),
        mask=lambda wildcards: paths(rules.prepare_clip.output.mask, SEEN_CLIPS),
        begin=ACOUSTIC["resume_ckpt"] or [],
        meta=META,
    output:
        model=ACOUSTIC_MODEL,
        provenance=provenance_of("acoustic"),
    log:
        f"{LOGS}/train_acoustic.log",
    benchmark:
        f"{BENCHMARKS}/train_acoustic.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 8
    resources:
        mem_mb=more_on_retry(ACOUSTIC["memory_mb"]),
        # The same again: the next attempt goes on from the state.
        runtime=ACOUSTIC["runtime_minutes"],
        gpu=ACOUSTIC["gpus"],
    params:
        script=script("train_mri_acoustic_model.py"),
        dataset=subpath(input.meta, parent=True),
        stage=ACOUSTIC_STAGE_VERSION,
        places=flags(
            log_dir=f"{RESULTS}/acoustic/logs",
            state_dir=f"{RESULTS}/.state/acoustic",
            resume=ACOUSTIC["resume"],
            resume_ckpt=ACOUSTIC["resume_ckpt"],
        ),
        network=flags(
            backbone=ACOUSTIC["backbone"],
            output_stride=ACOUSTIC["output_stride"],
            rnn_hidden=ACOUSTIC["rnn_hidden"],
            dropout=ACOUSTIC["dropout"],
            cnn_pretrained=ACOUSTIC["cnn_pretrained"],
            image_size=ACOUSTIC["image_size"],
            frame_normalisation=ACOUSTIC["frame_normalisation"],
            ref_frames=REF_FRAMES,
        ),
        training=flags(
            **{
                name: ACOUSTIC[name]
                for name in (
                    "stretch batch_size val_batch_size micro_batch_size max_train_steps max_val_steps epochs lr weight_decay grad_clip"
                    " schedule warmup_steps plateau_factor plateau_patience min_lr early_stop freeze_batch_norm seed"
                    " picture_epochs amp use_checkpoint ckpt_segments num_workers prefetch_factor pin_memory"
                ).split()
            }
        ),
        augmentation=flags(**ACOUSTIC["augmentation"]),
        loss=flags(
            ramp_steps=ACOUSTIC["loss"]["ramp_steps"],
            delta=ACOUSTIC["loss"]["delta"],
            delta2=ACOUSTIC["loss"]["delta2"],
            latest=ACOUSTIC["loss"]["latest"],
            time_weights=ACOUSTIC["loss"]["time"],
            band_weights=[f"{name}:{first}:{weight}" for name, (first, weight) in ACOUSTIC["loss"]["bands"].items()],
        ),
    shell:
        "python {params.script:q} --gpus {resources.gpu} --processed_dir {params.dataset:q} --out_ckpt {output.model:q}"
        " --provenance {output.provenance:q}"
        " {params.places} {params.network} {params.augmentation} {params.training} {params.loss} > {log:q} 2>&1"


rule export_predicted_mels:
    """What the mel generator predicts for the clips the vocoder is fine-tuned and validated on, in one process."""
    input:
        model=ACOUSTIC_IN_USE,
        scaler=rules.fit_scaler.output,
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SEEN_CLIPS),
        # Opened with the frames, to see that the clip is whole.
        sound=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SEEN_CLIPS),
        meta=META,
    output:
        paths(f"{MELS_PREDICTED}/{{id}}.npy", SEEN_CLIPS),
    log:
        f"{LOGS}/export_predicted_mels.log",
    benchmark:
        f"{BENCHMARKS}/export_predicted_mels.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 4
    resources:
        mem_mb=more_on_retry(2000),
        runtime=more_on_retry(minutes_for(SEEN_CLIPS, 10)),
        gpu=min(1, ACOUSTIC["gpus"]),
    params:
        script=script("export_predicted_mels.py"),
        code=code_hash("acoustic.predict"),
        dataset=subpath(input.meta, parent=True),
        directory=subpath(output[0], parent=True),
        flags=PREDICTION_FLAGS,
    shell:
        "python {params.script:q} --gpus {resources.gpu} --processed_dir {params.dataset:q} --mri_checkpoint {input.model:q}"
        " --scaler_json {input.scaler:q} --output_dir {params.directory:q} --parts training validation --overwrite"
        " {params.flags} > {log:q} 2>&1"


rule export_groundtruth_mel:
    """A clip's true mel as the vocoder reads it."""
    input:
        mri=rules.prepare_clip.output.mri,
        mel_db=rules.prepare_clip.output.mel_db,
        mask=rules.prepare_clip.output.mask,
        meta=META,
    output:
        f"{MELS_TRUE}/{{id}}.npy",
    log:
        f"{LOGS}/export_groundtruth_mel/{{id}}.log",
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(300),
        runtime=more_on_retry(5),
    params:
        script=script("export_groundtruth_mels.py"),
        code=code_hash("dataset.log_mels"),
        dataset=subpath(input.meta, parent=True),
        directory=subpath(output[0], parent=True),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --output_dir {params.directory:q}"
        " --clips {wildcards.id} --overwrite > {log:q} 2>&1"
