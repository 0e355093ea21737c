# Articulators and formants: Grad-CAM of the test clips, average maps, and the masking study that verifies them.

from rtmri_speech.settings.use import Darkening, Film, GradCam, Look

EXPLAIN = SETTINGS.explain
GRADCAM = f"{RESULTS}/gradcam"
FAITHFULNESS = f"{RESULTS}/faithfulness"
BANDS = SETTINGS.bands
BAND_WORDS = [f"{name}:{low:g}-{high:g}" for name, (low, high) in BANDS.items()]
REGIONS = EXPLAIN.regions and text(of_checkout(EXPLAIN.regions, BASE))
# Only the demo's synthesiser knows what the pictures show.
TRUTH = (
    [f"{FAITHFULNESS}/truth/{id}{part}" for id in TEST_CLIPS for part in ("_pictures.npy", "_power.npy", ".json")]
    if SETTINGS.corpus.source == "demo"
    else []
)
MASK_REGIONS = REGIONS if EXPLAIN.masking.regions else None


wildcard_constraints:
    band="|".join(BANDS),


rule explain_clip:
    """Grad-CAM of a clip for each formant band."""
    input:
        model=SPEECH_MODELS["mri-checkpoint"],
        scaler=SPEECH_MODELS["scaler-json"] or [],
        mri=rules.prepare_clip.output.mri,
        speakers=lambda wildcards: speaker_lists([wildcards.id]),
    output:
        expand(f"{GRADCAM}/{{{{id}}}}/gradcam_{{band}}_sequence.npy", band=BANDS),
        expand(f"{GRADCAM}/{{{{id}}}}/gradcam_{{band}}_average.png", band=BANDS),
        expand(f"{GRADCAM}/{{{{id}}}}/gradcam_{{band}}.json", band=BANDS),
    log:
        f"{LOGS}/explain_clip/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/explain_clip/{{id}}.tsv"
    localrule: ANALYSIS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 2
    resources:
        mem_mb=more_on_retry(2000),
        runtime=more_on_retry(15),
        gpu=ANALYSIS_GPUS,
    params:
        script=script("mri_gradcam_formant.py"),
        code=code_hash("explain.clips", "acoustic.fold"),
        dataset=lambda wildcards: DATASET,
        directory=lambda wildcards: GRADCAM,
        bands=" ".join(flags(**{"formant-band": band}) for band in BAND_WORDS),
        flags=flags(**{"scaler-json": SPEECH_MODELS["scaler-json"], "context": ACOUSTIC.context}),
        settings=command_line_of(EXPLAIN, GradCam),
    shell:
        "python {params.script:q} --processed-dir {params.dataset:q} --clips {wildcards.id} --mri-checkpoint {input.model:q}"
        " --gpus {resources.gpu} --output-dir {params.directory:q} {params.bands} {params.flags} {params.settings} > {log:q} 2>&1"


rule film_gradcam:
    """Overlay the maps of a band on the video, with the generated speech."""
    input:
        mri=rules.prepare_clip.output.mri,
        maps=f"{GRADCAM}/{{id}}/gradcam_{{band}}_sequence.npy",
        audio=rules.infer_clip.output.generated,
    output:
        f"{GRADCAM}/{{id}}/gradcam_{{band}}_overlay.mp4",
    log:
        f"{LOGS}/film_gradcam/{{id}}_{{band}}.log",
    benchmark:
        f"{BENCHMARKS}/film_gradcam/{{id}}_{{band}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(500),
        runtime=more_on_retry(10),
    params:
        script=script("create_gradcam_overlay_video.py"),
        code=code_hash("explain.overlay"),
        rate=SPEC.frame_rate,
        settings=command_line_of(EXPLAIN, Film),
        label=lambda wildcards: flags(labels=wildcards.band) if EXPLAIN.legend else "",
    shell:
        "python {params.script:q} --video {input.mri:q} --rate {params.rate} --heatmap {input.maps:q} --audio {input.audio:q}"
        " --output {output:q} {params.settings} {params.label} > {log:q} 2>&1"


rule export_articulators:
    """The maps of a clip over time by articulator, beside the phonemes, for Praat and for statistics."""
    input:
        maps=[f"{GRADCAM}/{{id}}/gradcam_{band}{part}" for band in BANDS for part in ("_sequence.npy", ".json")],
        regions=REGIONS or [],
        phonemes=PHONEME_FILES,
        meta=META,
    output:
        table=f"{GRADCAM}/{{id}}/articulators.tsv",
        tiers=f"{GRADCAM}/{{id}}/articulators.TextGrid",
    log:
        f"{LOGS}/export_articulators/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/export_articulators/{{id}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(500),
        runtime=more_on_retry(10),
    params:
        script=script("export_articulators.py"),
        code=code_hash("explain.timeline"),
        dataset=subpath(input.meta, parent=True),
        gradcam=lambda wildcards: GRADCAM,
        flags=flags(regions=REGIONS, bands=list(BANDS), phonemes=PHONEMES if PHONEMES_KNOWN else None),
    shell:
        "python {params.script:q} --gradcam_dir {params.gradcam:q} --processed_dir {params.dataset:q}"
        " --clips {wildcards.id} {params.flags} > {log:q} 2>&1"


rule aggregate_gradcam:
    """Average maps per band and per phoneme over the test clips, with the share of each head region."""
    input:
        maps=[
            f"{GRADCAM}/{id}/gradcam_{band}{part}"
            for id in TEST_CLIPS
            for band in BANDS
            for part in ("_sequence.npy", ".json")
        ],
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, TEST_CLIPS),
        regions=REGIONS or [],
        phonemes=PHONEME_FILES,
        meta=META,
    output:
        facts=f"{GRADCAM}/aggregate/aggregate.json",
        maps=expand(f"{GRADCAM}/aggregate/average_{{band}}.npy", band=BANDS),
        pictures=expand(f"{GRADCAM}/aggregate/average_{{band}}.png", band=BANDS),
    log:
        f"{LOGS}/aggregate_gradcam.log",
    benchmark:
        f"{BENCHMARKS}/aggregate_gradcam.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(500),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 10)),
    params:
        script=script("aggregate_gradcam.py"),
        code=code_hash("explain.aggregate"),
        gradcam=lambda wildcards: GRADCAM,
        dataset=lambda wildcards: DATASET,
        directory=subpath(output.facts, parent=True),
        flags=flags(
            **{
                "clips": TEST_CLIPS,
                "bands": list(BANDS),
                "phoneme-dir": PHONEMES if PHONEMES_KNOWN else None,
                "regions": REGIONS,
            }
        ),
        settings=command_line_of(EXPLAIN, Look, "colormap"),
    shell:
        "python {params.script:q} --gradcam-dir {params.gradcam:q} --processed-dir {params.dataset:q}"
        " --output-dir {params.directory:q} {params.flags} {params.settings} > {log:q} 2>&1"


rule masking_study:
    """Effect of darkening lips, tongue and other regions on each band, compared with their Grad-CAM mass."""
    input:
        model=SPEECH_MODELS["mri-checkpoint"],
        vocoder=SPEECH_MODELS["hifigan-checkpoint"],
        vocoder_config=SPEECH_MODELS["hifigan-config"],
        maps=rules.aggregate_gradcam.input.maps,
        samples=[
            *paths(rules.prepare_clip.output.mri, TEST_CLIPS),
            *paths(rules.prepare_clip.output.mel_db, TEST_CLIPS),
            *paths(rules.prepare_clip.output.mask, TEST_CLIPS),
        ],
        scaler=rules.fit_scaler.output[0],
        meta=META,
        regions=MASK_REGIONS or [],
        speakers=speaker_lists(TEST_CLIPS),
    output:
        table=f"{RESULTS}/masking/masking.csv",
        figure=f"{RESULTS}/masking/masking.png",
    log:
        f"{LOGS}/masking_study.log",
    benchmark:
        f"{BENCHMARKS}/masking_study.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 2
    resources:
        mem_mb=more_on_retry(2500),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 300)),
        gpu=ANALYSIS_GPUS,
    params:
        script=script("study_masking.py"),
        code=code_hash("explain.study"),
        dataset=subpath(input.meta, parent=True),
        gradcam=lambda wildcards: GRADCAM,
        directory=subpath(output.table, parent=True),
        flags=flags(
            **{
                "clips": TEST_CLIPS,
                "context": ACOUSTIC.context,
                "bands": BAND_WORDS,
                "regions": MASK_REGIONS,
            }
        ),
        settings=command_line_of(EXPLAIN.masking, Darkening),
    shell:
        "python {params.script:q} --processed-dir {params.dataset:q} --mri-checkpoint {input.model:q}"
        " --hifigan-checkpoint {input.vocoder:q} --hifigan-config {input.vocoder_config:q} --gradcam-dir {params.gradcam:q}"
        " --gpus {resources.gpu} --output-dir {params.directory:q} {params.flags} {params.settings} > {log:q} 2>&1"


rule move_articulators:
    """Pictures and sound of a demo clip with each articulator moved a little."""
    input:
        meta=META,
    output:
        pictures=f"{FAITHFULNESS}/truth/{{id}}_pictures.npy",
        power=f"{FAITHFULNESS}/truth/{{id}}_power.npy",
        movements=f"{FAITHFULNESS}/truth/{{id}}.json",
    log:
        f"{LOGS}/move_articulators/{{id}}.log",
    benchmark:
        f"{BENCHMARKS}/move_articulators/{{id}}.tsv"
    localrule: CLIPS_LOCAL
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(450),
        runtime=more_on_retry(10),
    params:
        script=script("move_articulators.py"),
        code=code_hash("demo.moves"),
        dataset=subpath(input.meta, parent=True),
        directory=subpath(output.movements, parent=True),
        seed=SETTINGS.corpus.demo.seed,
    shell:
        "python {params.script:q} --clip {wildcards.id} --seed {params.seed} --processed_dir {params.dataset:q}"
        " --output_dir {params.directory:q} > {log:q} 2>&1"


rule check_explanations:
    """Measure how far maps of each method can be believed (docs/explanation.md)."""
    input:
        model=SPEECH_MODELS["mri-checkpoint"],
        samples=rules.masking_study.input.samples,
        # Speech frames are determined from the recordings.
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, TEST_CLIPS),
        truth=TRUTH,
        scaler=rules.fit_scaler.output[0],
        meta=META,
        regions=REGIONS or [],
        speakers=speaker_lists(TEST_CLIPS),
    output:
        measures=f"{FAITHFULNESS}/faithfulness.json",
        table=f"{FAITHFULNESS}/faithfulness.md",
    log:
        f"{LOGS}/check_explanations.log",
    benchmark:
        f"{BENCHMARKS}/check_explanations.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 2
    resources:
        mem_mb=more_on_retry(2500),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 600)),
        gpu=ANALYSIS_GPUS,
    params:
        script=script("check_explanations.py"),
        code=code_hash("explain.check", "report.faithfulness"),
        dataset=subpath(input.meta, parent=True),
        directory=subpath(output.table, parent=True),
        flags=flags(
            clips=TEST_CLIPS,
            context=ACOUSTIC.context,
            bands=BAND_WORDS,
            regions=REGIONS,
            truth_dir=f"{FAITHFULNESS}/truth" if TRUTH else None,
        ),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --mri_checkpoint {input.model:q}"
        " --gpus {resources.gpu} --output_dir {params.directory:q} {params.flags} > {log:q} 2>&1"


rule gradcam:
    """Grad-CAM of the test clips: maps, films, averages, and articulators over time."""
    input:
        [f"{GRADCAM}/{id}/gradcam_{band}_overlay.mp4" for id in TEST_CLIPS for band in BANDS],
        paths(rules.export_articulators.output.table, TEST_CLIPS) if REGIONS else [],
        rules.aggregate_gradcam.output,
        f"{RESULTS}/provenance/gradcam.json",


rule masking:
    """The masking study of the test clips."""
    input:
        rules.masking_study.output,
        f"{RESULTS}/provenance/masking.json",


rule faithfulness:
    """The table of how far the maps of the test clips can be believed."""
    input:
        rules.check_explanations.output,
        f"{RESULTS}/provenance/faithfulness.json",
