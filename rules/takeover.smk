# In place of clips.smk where a dataset of the older system is taken over (corpus.source lab, lab.conventions lab): its frames,
# mels, masks and scaler are imported.


rule prepare_clip:
    """Import a clip: frames, mel and mask as the older system stored them; sound and figure from the recording."""
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
        script=script("import_lab_dataset.py"),
        dataset=subpath(output.wav, ancestor=2),
        code=code_hash("takeover.lab_dataset", "dataset.figure"),
        clip=lambda wildcards: lab_clip_flags(CLIPS[wildcards.id]),
        flags=flags(lab_dir=LAB_DIR),
        settings=" ".join(map(command_line_of, [SETTINGS.mel, SETTINGS.video, SETTINGS.audio])),
    shell:
        "python {params.script:q} --out_dir {params.dataset:q} {params.clip} {params.flags}"
        " {params.settings} > {log:q} 2>&1"


rule fit_scaler:
    """Import the scaler of the older system, fitted on all of its clips."""
    input:
        existing(Path(LAB_DIR, "scaler.json")),
    output:
        f"{DATASET}/scaler.json",
    log:
        f"{LOGS}/fit_scaler.log",
    localrule: True
    conda:
        "../envs/rtmri.yaml"
    params:
        script=script("import_lab_dataset.py"),
        dataset=subpath(output[0], ancestor=1),
        code=code_hash("dataset.scaler"),
        flags=flags(lab_dir=LAB_DIR),
    shell:
        "python {params.script:q} --out_dir {params.dataset:q} {params.flags} > {log:q} 2>&1"


def lab_clip_flags(clip):
    """Flags that name one clip, where it is stored, and its sound."""
    return flags(clip=clip.id, video=clip.video, audio=clip.audio, stored=clip.stored.source)
