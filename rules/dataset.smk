# From clips to the processed dataset. Statistics over clips never include test clips.

SPEC = MelSpec.of(SETTINGS.mel)
META = f"{DATASET}/meta.json"
CATALOGUE = f"{DATASET}/clips.json"
REF_FRAMES = SETTINGS.windows.ref_frames


rule write_filelist:
    """Write the ids of a split in HiFi-GAN's format."""
    output:
        f"{DATASET}/hifigan_filelists/{{split}}.txt",
    log:
        f"{LOGS}/write_filelist/{{split}}.log",
    localrule: True
    params:
        ids=lambda wildcards: SPLIT_CLIPS[wildcards.split],
    run:
        from rtmri_speech.dataset.filelists import write_filelist

        write_filelist(output[0], params.ids)


rule list_speakers:
    """Who speaks in the clips of a split, apart from `list_clips`: a test clip's speaker triggers no training."""
    output:
        f"{DATASET}/speakers/{{split}}.json",
    log:
        f"{LOGS}/list_speakers/{{split}}.log",
    localrule: True
    params:
        speakers=lambda wildcards: {id: RAW_CLIPS[id].speaker for id in SPLIT_CLIPS[wildcards.split]},
    run:
        from rtmri_speech.dataset.speakers import write_speakers

        write_speakers(output[0], params.speakers)


rule list_clips:
    """What is known of each clip beside its files, and what the split keeps together."""
    output:
        CATALOGUE,
    log:
        f"{LOGS}/list_clips.log",
    localrule: True
    params:
        # Of the clips that count, what is written.
        known=[
            DIVIDED.by,
            *(
                [id, clip.title, clip.speaker, clip.text, clip.repetition, clip.video.name, DIVIDED.groups[id]]
                for id, clip in RAW_CLIPS.items()
            ),
        ],
    run:
        from rtmri_speech.dataset.catalogue import write_catalogue

        write_catalogue(output[0], RAW_CLIPS, DIVIDED.by, DIVIDED.groups)


rule write_meta:
    """Write the settings of the dataset, in the lab's keys and as a complete mel specification."""
    output:
        META,
    log:
        f"{LOGS}/write_meta.log",
    localrule: True
    conda:
        "../envs/rtmri.yaml"
    params:
        script=script("preprocess_rtmri_data.py"),
        dataset=subpath(output[0], ancestor=1),
        code=code_hash("dataset.meta"),
        settings=" ".join(
            [
                command_line_of(SETTINGS.mel),
                command_line_of(SETTINGS.windows),
                command_line_of(SETTINGS.video, None, "size"),
            ]
        ),
    shell:
        "python {params.script:q} --only meta --out_dir {params.dataset:q} {params.settings} > {log:q} 2>&1"


rule write_window_starts:
    """Write the windows of a split: clip index and first frame."""
    input:
        f"{DATASET}/hifigan_filelists/{{split}}.txt",
        lambda wildcards: paths(rules.prepare_clip.output.mask, SPLIT_CLIPS[wildcards.split]),
    output:
        f"{DATASET}/pairs_ref{REF_FRAMES}_npy/{{split}}.npy",
    log:
        f"{LOGS}/write_window_starts/{{split}}.log",
    wildcard_constraints:
        split="|".join(TRAINED_SPLITS),
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(300),
        runtime=more_on_retry(minutes_for(CLIPS, 1)),
    params:
        script=script("convert_pairs_to_npy.py"),
        dataset=subpath(output[0], ancestor=2),
        code=code_hash("dataset.windows"),
        settings=command_line_of(SETTINGS.windows),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --part {wildcards.split}"
        " {params.settings} --overwrite > {log:q} 2>&1"
