# What the configuration names, checked: files while the run is planned, models in one job before any training or speech.

# The same in every process; once is enough.
if workflow.is_main_process:
    try:
        check_named(SETTINGS, BASE, TEST_CLIPS)
    except UserError as error:
        raise WorkflowError(str(error)) from None

TRAINS_ACOUSTIC = not SYNTHESIS["mri_checkpoint"]
TRAINS_VOCODER = not SYNTHESIS["hifigan_checkpoint"]
CHECKED_FILES = {
    "pretrained": TRAINS_ACOUSTIC and isinstance(ACOUSTIC["cnn_pretrained"], str) and ACOUSTIC["cnn_pretrained"],
    "resume_ckpt": TRAINS_ACOUSTIC and ACOUSTIC["resume_ckpt"],
    "base": TRAINS_VOCODER and VOCODER_BASE,
    "vocoder_config": TRAINS_VOCODER and VOCODER_CONFIG,
    **{
        name: SYNTHESIS[name]
        for name in (
            "mri_checkpoint",
            "scaler_json",
            "hifigan_checkpoint",
            "hifigan_config",
        )
    },
}
CHECKED_FILES = {name: file for name, file in CHECKED_FILES.items() if file}


rule check_models:
    """The backbone can be built and given checkpoints can be read, all of the dataset's mel."""
    input:
        **CHECKED_FILES,
    output:
        # What is there stays when the check fails.
        update(CHECKED),
    log:
        f"{LOGS}/check_models.log",
    conda:
        "../envs/rtmri.yaml"
    threads: 1
    resources:
        mem_mb=more_on_retry(1500),
        runtime=more_on_retry(10),
    params:
        script=script("check_models.py"),
        flags=flags(
            mel=json.dumps(SPEC.to_dict(), sort_keys=True),
            network=(
                json.dumps(
                    {name: ACOUSTIC[name] for name in ("backbone", "output_stride", "rnn_hidden", "dropout")},
                    sort_keys=True,
                )
                if TRAINS_ACOUSTIC
                else None
            ),
            **CHECKED_FILES,
        ),
    shell:
        "python {params.script:q} --output {output:q} {params.flags} > {log:q} 2>&1"
