# The HTML page and its figures.

REPORT = f"{RESULTS}/report"
FILMS = (
    [f"{GRADCAM}/{id}/gradcam_{band}_overlay.mp4" for id in TEST_CLIPS for band in BANDS]
    if SETTINGS.report.films
    else []
)
# Also included in Snakemake's report: category and labels.
PLOTS = {
    "systems": ("Evaluation", "systems", "test clips"),
    "error_by_band": ("Evaluation", "mel error", "frequency"),
    **({"error_by_phoneme": ("Evaluation", "mel error", "phoneme")} if PHONEMES_KNOWN else {}),
    "loss_acoustic": ("Training", "loss", "mel generator"),
    "loss_vocoder": ("Training", "loss", "vocoder"),
}


rule write_settings:
    """Write the configuration with all defaults."""
    output:
        f"{RESULTS}/settings.json",
    log:
        f"{LOGS}/write_settings.log",
    localrule: True
    params:
        settings=plain(SETTINGS),
    run:
        from rtmri_speech.atomic import save_json

        save_json(output[0], params.settings)


rule make_report:
    """Make the page: scores, sounds, pictures, plots and provenance; works without a server."""
    input:
        scores=rules.evaluate_systems.output.scores,
        sounds=rules.evaluate_systems.output.sounds,
        vocoder=JUDGED,
        understood=UNDERSTOOD,
        settings=rules.write_settings.output,
        mri=lambda wildcards: paths(rules.prepare_clip.output.mri, TEST_CLIPS),
        wavs=lambda wildcards: paths(rules.prepare_clip.output.wav, TEST_CLIPS),
        masks=lambda wildcards: paths(rules.prepare_clip.output.mask, CLIPS),
        lists=expand(rules.write_filelist.output, split=SPLITS),
        phonemes=PHONEME_FILES,
        films=FILMS,
        averages=rules.aggregate_gradcam.output.pictures if FILMS else [],
        provenance=SHOWN_RECORDS,
        template=[BASE / "src" / "rtmri_speech" / "report" / f"page.{kind}" for kind in ("html", "css", "js")],
        meta=META,
        clips=CATALOGUE,
    output:
        page=f"{REPORT}/index.html",
        plots=[
            report(
                f"{REPORT}/figures/{name}_light.png",
                caption=f"../workflow/report/{name}.rst",
                category=category,
                labels={"what": what, "of": of},
            )
            for name, (category, what, of) in PLOTS.items()
        ],
        dark=expand(f"{REPORT}/figures/{{plot}}_dark.png", plot=PLOTS),
        media=directory(f"{REPORT}/media"),
    log:
        f"{LOGS}/make_report.log",
    benchmark:
        f"{BENCHMARKS}/make_report.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1200),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 20)),
    params:
        script=script("make_report.py"),
        dataset=subpath(input.meta, parent=True),
        evaluation=subpath(input.scores, parent=True),
        directory=subpath(output.page, parent=True),
        code=code_hash("report.page"),
        flags=flags(
            acoustic_logs=f"{RESULTS}/acoustic/logs",
            vocoder_logs=f"{RESULTS}/vocoder/logs",
            phonemes=PHONEMES if PHONEME_FILES else None,
            benchmarks=BENCHMARKS,
            films=GRADCAM if FILMS else None,
        ),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --evaluation {params.evaluation:q}"
        " --output_dir {params.directory:q} --settings {input.settings:q} --provenance {input.provenance:q}"
        " {params.flags} > {log:q} 2>&1"


COMPARED = [text(directory) for directory in SETTINGS.report.compare_with]


rule compare_experiments:
    """Make the page that compares this experiment with the others in report.compare_with."""
    input:
        scores=rules.evaluate_systems.output.scores,
        sounds=rules.evaluate_systems.output.sounds,
        settings=rules.write_settings.output,
        models=MODELS_DIGEST,
        records=SHOWN_RECORDS,
        others=[
            found
            for directory in COMPARED
            for part in ("evaluation/scores.json", "evaluation/sounds", "settings.json")
            for found in existing(Path(directory, part))
        ],
        template=rules.make_report.input.template,
    output:
        page=f"{RESULTS}/compare/index.html",
        figures=directory(f"{RESULTS}/compare/figures"),
        media=directory(f"{RESULTS}/compare/media"),
    log:
        f"{LOGS}/compare_experiments.log",
    benchmark:
        f"{BENCHMARKS}/compare_experiments.tsv"
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1200),
        runtime=more_on_retry(minutes_for(TEST_CLIPS, 20)),
    params:
        script=script("compare_experiments.py"),
        directory=subpath(output.page, parent=True),
        code=code_hash("report.compare"),
        results=[*COMPARED, RESULTS],
    shell:
        "python {params.script:q} {params.results:q} --output_dir {params.directory:q} > {log:q} 2>&1"
