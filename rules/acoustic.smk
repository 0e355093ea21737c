# The mel generator: training, and predicted mels for fine-tuning the vocoder.

from rtmri_speech.acoustic import ACOUSTIC_STAGE_VERSION
from rtmri_speech.dataset.speakers import require_speakers
from rtmri_speech.settings.acoustic import Prediction
from rtmri_speech.settings.acoustic import Training as AcousticTraining
from rtmri_speech.settings.use import F0

ACOUSTIC = SETTINGS.acoustic
ACOUSTIC_MODEL = f"{RESULTS}/acoustic/mri_acoustic_model.pt"
# The model trained here, or a given one (from the lab or another results directory).
ACOUSTIC_IN_USE = text(SETTINGS.synthesis.mri_checkpoint) or ACOUSTIC_MODEL
MELS_PREDICTED = f"{RESULTS}/mels_ft_log_normalized"
MELS_TRUE = f"{DATASET}/mels_gt_log"
PREDICTION_FLAGS = command_line_of(ACOUSTIC, Prediction)


if ACOUSTIC.distinguishes_speakers and not SETTINGS.synthesis.mri_checkpoint:
    try:
        require_speakers({id: RAW_CLIPS[id].speaker for id in SEEN_CLIPS}, "corpus")
    except UserError as error:
        raise WorkflowError(str(error)) from None

F0_TRACKS = f"{RESULTS}/acoustic/f0"


rule track_f0:
    """Track the F0 of training and validation clips, for a mel generator that predicts F0 too."""
    input:
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, SEEN_CLIPS),
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SEEN_CLIPS),
        mel_db=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SEEN_CLIPS),
        mask=lambda wildcards: paths(rules.prepare_clip.output.mask, SEEN_CLIPS),
        lists=expand(rules.write_filelist.output, split=TRAINED_SPLITS),
        meta=META,
    output:
        paths(f"{F0_TRACKS}/{{id}}.npy", SEEN_CLIPS),
    log:
        f"{LOGS}/track_f0.log",
    benchmark:
        f"{BENCHMARKS}/track_f0.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1000),
        runtime=more_on_retry(minutes_for(SEEN_CLIPS, 10)),
    params:
        script=script("track_f0.py"),
        code=code_hash("dataset.f0", "evaluation.f0_range"),
        dataset=subpath(input.meta, parent=True),
        directory=subpath(output[0], parent=True),
        settings=command_line_of(SETTINGS.evaluation, F0),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --output_dir {params.directory:q} {params.settings}"
        " > {log:q} 2>&1"


rule train_acoustic:
    """Train the mel generator. State and log are not outputs, so that a killed or retried job can resume."""
    input:
        scaler=rules.fit_scaler.output,
        lists=expand(rules.write_filelist.output, split=TRAINED_SPLITS),
        pairs=expand(rules.write_window_starts.output, split=TRAINED_SPLITS),
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SEEN_CLIPS),
        mel_db=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SEEN_CLIPS),
        mask=lambda wildcards: paths(rules.prepare_clip.output.mask, SEEN_CLIPS),
        f0=rules.track_f0.output if ACOUSTIC.pitch else [],
        begin=text(ACOUSTIC.resume_ckpt) or [],
        speakers=speaker_lists(SEEN_CLIPS),
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
        mem_mb=more_on_retry(ACOUSTIC.memory_mb),
        # Not increased on retry: the next attempt resumes from the state.
        runtime=ACOUSTIC.runtime_minutes,
        gpu=ACOUSTIC.gpus,
    params:
        script=script("train_mri_acoustic_model.py"),
        dataset=subpath(input.meta, parent=True),
        stage=ACOUSTIC_STAGE_VERSION,
        places=flags(
            log_dir=f"{RESULTS}/acoustic/logs",
            state_dir=f"{STATES}/acoustic",
            f0_dir=F0_TRACKS if ACOUSTIC.pitch else None,
        ),
        settings=f"{command_line_of(SETTINGS.windows)} {command_line_of(ACOUSTIC, AcousticTraining)}",
    shell:
        "python {params.script:q} --gpus {resources.gpu} --processed_dir {params.dataset:q} --out_ckpt {output.model:q}"
        " --provenance {output.provenance:q} {params.places} {params.settings} > {log:q} 2>&1"


rule export_predicted_mels:
    """Predict the mels of training and validation clips, for fine-tuning the vocoder."""
    input:
        model=ACOUSTIC_IN_USE,
        scaler=rules.fit_scaler.output,
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, SEEN_CLIPS),
        # Read to check that the clip is complete.
        sound=lambda wildcards: paths(rules.prepare_clip.output.mel_db, SEEN_CLIPS),
        speakers=speaker_lists(SEEN_CLIPS),
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
        gpu=min(1, ACOUSTIC.gpus),
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
    """Export the true mel of a clip in the vocoder's format."""
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
