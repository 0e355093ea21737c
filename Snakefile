# rtMRI video to speech: the whole chain, rerun only where something is stale.
#   snakemake --cores 4 results/infer/000_generated.wav    the main job (demo corpus unless config says otherwise)
#   snakemake -n                                           what is pending, and why
#   snakemake --list                                       the targets


# The demo unless another configuration is given; each is complete over the defaults of config/schema.yaml.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/corpus.smk"
include: "rules/dataset.smk"
include: "rules/acoustic.smk"
include: "rules/vocoder.smk"
include: "rules/synthesis.smk"


rule acoustic:
    """The trained mel generator, and the mels it predicts for the vocoder's fine-tuning."""
    input:
        rules.train_acoustic.output,
        rules.export_predicted_mels.output,


rule vocoder:
    """The fine-tuned HiFi-GAN."""
    input:
        rules.fine_tune_vocoder.output,


rule dataset:
    """Samples of every clip, split, scaler, window pairs and file lists."""
    default_target: True
    input:
        rules.write_meta.output,
        expand(rules.write_filelist.output, part=PARTS),
        expand(rules.write_pairs.output, part=TRAINED_PARTS),
        paths(rules.extract_mel.output.mask, CLIPS),
