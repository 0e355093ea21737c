# The clips of a corpus from its recordings, and the scaler of the training clips.


rule prepare_clip:
    """Prepare a clip: frames at the mel's frame rate, sound, mel, mask and figure."""
    input:
        lambda wildcards: sources_of(CLIPS[wildcards.id]),
    output:
        mri=f"{DATASET}/samples/{{id}}/mri.npy",
        wav=f"{DATASET}/wavs/{{id}}.wav",
        mel_db=f"{DATASET}/samples/{{id}}/mel_db.npy",
        mask=f"{DATASET}/samples/{{id}}/mask.npy",
        figure=f"{DATASET}/samples/{{id}}/figure.png",
    log:
        f"{LOGS}/prepare_clip/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare_clip/{{id}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(400),
        runtime=more_on_retry(10),
    params:
        script=script("preprocess_rtmri_data.py"),
        dataset=subpath(output.wav, ancestor=2),
        code=code_hash("dataset.frames", "dataset.sound", "dataset.figure"),
        clip=lambda wildcards: command_line_of(CLIPS[wildcards.id]),
        settings=" ".join(map(command_line_of, [SETTINGS.mel, SETTINGS.video, SETTINGS.audio])),
    shell:
        "python {params.script:q} --only clip --out_dir {params.dataset:q} {params.clip} {params.settings} > {log:q} 2>&1"


rule fit_scaler:
    """Fit mean and standard deviation of each mel bin to the training clips."""
    input:
        f"{DATASET}/hifigan_filelists/training.txt",
        lambda wildcards: paths(rules.prepare_clip.output.mel_db, SPLIT_CLIPS["training"]),
        lambda wildcards: paths(rules.prepare_clip.output.mask, SPLIT_CLIPS["training"]),
    output:
        f"{DATASET}/scaler.json",
    log:
        f"{LOGS}/fit_scaler.log",
    benchmark:
        f"{BENCHMARKS}/fit_scaler.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(300),
        runtime=more_on_retry(minutes_for(CLIPS, 1)),
    params:
        script=script("preprocess_rtmri_data.py"),
        dataset=subpath(output[0], ancestor=1),
        code=code_hash("dataset.scaler"),
    shell:
        "python {params.script:q} --only scaler --out_dir {params.dataset:q} > {log:q} 2>&1"
