# Checks of the configuration: files during planning, models before the first job.

import subprocess

from rtmri_speech.atomic import save_text
from rtmri_speech.settings.acoustic import NetworkSettings
from rtmri_speech.settings.fields import fields_of
from rtmri_speech.training_cost import is_small, training_frames

# In the main process only, not in every job.
if workflow.is_main_process:
    try:
        check_named(SETTINGS, BASE, SAID.values())
    except UserError as error:
        raise WorkflowError(str(error)) from None
    # An error raised by an input function would appear within a traceback; targets are only in sys.argv.
    if "infer_new" in sys.argv[1:]:
        require_new_videos()

TRAINS_ACOUSTIC = not SYNTHESIS.mri_checkpoint
TRAINS_VOCODER = SPEAKING_VOCODER == VOCODER_CHECKPOINT
CHECKED_FILES = {
    "pretrained": TRAINS_ACOUSTIC and isinstance(ACOUSTIC.cnn_pretrained, Path) and text(ACOUSTIC.cnn_pretrained),
    "resume_ckpt": TRAINS_ACOUSTIC and text(ACOUSTIC.resume_ckpt),
    "base": TRAINS_VOCODER and VOCODER_BASE,
    "vocoder_config": TRAINS_VOCODER and VOCODER_CONFIG,
    **{
        name: text(getattr(SYNTHESIS, name))
        for name in (
            "mri_checkpoint",
            "scaler_json",
            "hifigan_checkpoint",
            "hifigan_config",
        )
    },
}
CHECKED_FILES = {name: file for name, file in CHECKED_FILES.items() if file}
# Rules that train or use models.
OF_MODELS = set(
    "train_acoustic export_predicted_mels fine_tune_vocoder make_pack digest_models infer_clip infer_new_video infer_masked"
    " explain_clip masking_study evaluate_systems evaluate_mel_generator compare_vocoder".split()
)


def check_models_in_use():
    """Before the first job that needs a model, refuse unknown backbones and incompatible checkpoints.

    Not a rule, because all trainings and synthesis jobs would depend on its output and rerun with it.
    """
    if not any(job.rule.name in OF_MODELS for job in workflow.dag.needrun_jobs()):
        return
    network = {field.name: getattr(ACOUSTIC, field.name) for field, _ in fields_of(NetworkSettings)}
    checked = {
        "mel": json.dumps(SPEC.to_dict(), sort_keys=True),
        "network": json.dumps(network, sort_keys=True) if TRAINS_ACOUSTIC else None,
        **CHECKED_FILES,
        "distinguishes_speakers": ACOUSTIC.distinguishes_speakers,
    }
    marker = Path(STATES, "checked_models.json")
    times = [Path(file).stat().st_mtime_ns for file in CHECKED_FILES.values() if Path(file).exists()]
    passed = json.dumps([checked, times])
    if marker.exists() and marker.read_text(encoding="utf-8") == passed:
        return
    words = [word for name, value in checked.items() if value for word in (f"--{name}", str(value))]
    run = run_before_jobs("check_models.py", *words)
    if run.returncode:
        raise WorkflowError(run.stdout.strip().removeprefix("error: "))
    save_text(marker, passed)


def run_before_jobs(name, *words, input=None):
    """Run a script that needs torch before the first job; stdout of what is returned has its stderr too."""
    return subprocess.run(
        [sys.executable, script(name), *words],
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def report_training_time():
    """Before trainings on this machine's processor that take an hour or more, print how long they take."""
    pending = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if not workflow.local_exec or not pending & {"train_acoustic", "fine_tune_vocoder"}:
        return
    frames = training_frames([CLIPS[id] for id in SPLIT_CLIPS["training"]], SPEC.frame_rate)
    if is_small(SETTINGS, frames):
        return
    words = ["--frames", str(frames), "--vocoder_config", VOCODER_CONFIG]
    run = run_before_jobs("estimate_training.py", *words, input=json.dumps(config))
    *_, last = run.stdout.splitlines() or [""]
    if run.returncode:
        TERMINAL.warning(f"The time of the training could not be estimated ({last or run.returncode}).")
    elif last:
        TERMINAL.warning(last)
