# Scores of the test clips: the trained system in each context, beside floor, look-up and ceiling.

from rtmri_speech.evaluation.phonemes import find_phonemes

EVALUATION = f"{RESULTS}/evaluation"
TEST_CLIPS = PART_CLIPS["test"]

# The system as it is used comes first, whatever else is compared.
CONTEXTS = list(dict.fromkeys([ACOUSTIC["context"], *SETTINGS["evaluation"]["contexts"]]))

if SETTINGS["corpus"]["source"] == "demo":
    PHONEMES = f"{RESULTS}/demo/descriptions"
    PHONEME_FILES = paths(rules.make_demo_clip.output.description, TEST_CLIPS)
else:
    PHONEMES = SETTINGS["evaluation"]["phonemes"]
    PHONEME_FILES = [path for id in TEST_CLIPS if PHONEMES and (path := find_phonemes(PHONEMES, id))]


rule evaluate_systems:
    """Wavs and scores of every row on all test clips, in one process; refuses clips that a training has seen."""
    input:
        acoustic=rules.train_acoustic.output[0],
        vocoder=rules.fine_tune_vocoder.output.generator,
        vocoder_config=rules.fine_tune_vocoder.output.config,
        base=VOCODER_BASE or [],
        scaler=rules.fit_scaler.output,
        lists=expand(rules.write_filelist.output, part=PARTS),
        # Training frames are what a look-up looks among.
        mri=paths(rules.decode_frames.output[0], PART_CLIPS["training"] + TEST_CLIPS),
        mel_db=paths(rules.extract_mel.output.mel_db, PART_CLIPS["training"] + TEST_CLIPS),
        mask=paths(rules.extract_mel.output.mask, PART_CLIPS["training"] + TEST_CLIPS),
        wavs=paths(rules.extract_mel.output.wav, TEST_CLIPS),
        phonemes=PHONEME_FILES,
        meta=ancient(rules.write_meta.output[0]),
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
        runtime=more_on_retry(60),
        gpu=ACOUSTIC["gpus"],
    params:
        script=script("evaluate_systems.py"),
        dataset=subpath(input.scaler[0], parent=True),
        directory=subpath(output.scores, parent=True),
        code=code_hash("evaluation.systems"),
        flags=flags(
            base_checkpoint=VOCODER_BASE,
            context=CONTEXTS,
            amp=ACOUSTIC["prediction_precision"],
            phonemes=PHONEMES if PHONEME_FILES else None,
        ),
    shell:
        "python {params.script:q} --processed_dir {params.dataset:q} --mri_checkpoint {input.acoustic:q}"
        " --hifigan_checkpoint {input.vocoder:q} --hifigan_config {input.vocoder_config:q}"
        " --output_dir {params.directory:q} --threads {threads} {params.flags} > {log:q} 2>&1"
