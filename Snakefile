# From rtMRI videos to speech. Reruns only steps whose inputs, settings or code have changed.
#   snakemake --cores 4 results/infer/000_generated.wav    speech of one clip (of the demo, without --configfile)
#   snakemake -n                                           pending jobs and reasons
#   snakemake --list                                       all targets


# The demo, unless --configfile is given. Missing settings have the defaults of config/schema.yaml.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.current_basedir.get_path_or_uri(secret_free=True)}/config/config.yaml"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/dataset.smk"
include: "rules/takeover.smk" if LAB_DIR else "rules/clips.smk"
include: "rules/acoustic.smk"
include: "rules/vocoder.smk"
include: "rules/synthesis.smk"
include: "rules/explain.smk"
include: "rules/evaluation.smk"
include: "rules/provenance.smk"
include: "rules/report.smk"
include: "rules/preflight.smk"
include: "rules/terminal.smk"


localrules:
    all,
    dataset,
    acoustic,
    vocoder,
    pack,
    infer,
    infer_all,
    infer_new,
    gradcam,
    masking,
    faithfulness,
    evaluation,
    compare,


onstart:
    refuse_future_files()
    for directory in dict.fromkeys([RESULTS, DATASET]):
        remove_abandoned(directory)
    check_models_in_use()
    report_training_time()
    describe_rules()


onsuccess:
    report_log(log)
    warn_of_harmful_vocoder()
    report_results()


onerror:
    report_log(log)
    report_results()
    report_refused_clips()
    report_full_disk()


rule all:
    """All results for the test clips, including the page results/report/index.html; without test clips, the models."""
    default_target: True
    input:
        lambda wildcards: paths(rules.infer_clip.output.generated, TEST_CLIPS),
        rules.make_report.output if TEST_CLIPS else MODELS_DIGEST,
        rules.evaluate_mel_generator.output,
        f"{RESULTS}/provenance/synthesis.json" if TEST_CLIPS else [],


rule dataset:
    """The dataset: samples of every clip, split, scaler, windows and file lists."""
    input:
        rules.write_meta.output,
        rules.list_clips.output,
        rules.fit_scaler.output,
        expand(rules.write_filelist.output, split=SPLITS),
        expand(rules.write_window_starts.output, split=TRAINED_SPLITS),
        lambda wildcards: paths(rules.prepare_clip.output.mask, CLIPS),
        DATASET_RECORD,


rule acoustic:
    """The mel generator, and its predicted mels for fine-tuning the vocoder."""
    input:
        ACOUSTIC_IN_USE,
        rules.export_predicted_mels.output[0],


rule vocoder:
    """The fine-tuned HiFi-GAN."""
    input:
        rules.fine_tune_vocoder.output,


rule pack:
    """The models in a single file for synthesis without torch (docs/packs.md)."""
    input:
        PACK,
        MODELS_DIGEST,


rule infer:
    """Speech of the test clips, with the recordings."""
    input:
        lambda wildcards: paths(rules.infer_clip.output.generated, TEST_CLIPS),
        f"{RESULTS}/provenance/synthesis.json",


rule infer_all:
    """Speech of every clip of the corpus."""
    input:
        lambda wildcards: paths(rules.infer_clip.output.generated, CLIPS),


rule infer_new:
    """Speech of the videos in synthesis.new_videos, with existing models."""
    input:
        lambda wildcards: new_speech(),


rule evaluation:
    """Scores of the test clips, with those of the reference systems (docs/scores.md)."""
    input:
        rules.evaluate_systems.output,
        rules.evaluate_mel_generator.output,
        JUDGED,
        UNDERSTOOD,
        VOWELS,
        f"{RESULTS}/provenance/evaluation.json",


rule compare:
    """This experiment against others, on one page (report.compare_with)."""
    input:
        lambda wildcards: comparison(),
