# What the terminal shows besides the progress (snakemake_logger_plugin_rtmri): at the end, results and refused clips.

import errno
import glob
import re
import shutil
from itertools import islice
from statistics import fmean

from rtmri_speech.errors import user_error
from rtmri_speech.training import PROGRESS_FILE
from snakemake_logger_plugin_rtmri.run import Known

TRAININGS = {
    "train_acoustic": "acoustic",
    "fine_tune_vocoder": "vocoder",
    "train_base_vocoder": "base_vocoder",
}
PROGRESS_FILES = {rule: f"{STATES}/{stage}/{PROGRESS_FILE}" for rule, stage in TRAININGS.items()}

# Jobs of a rule whose duration in the last run is read.
TIMED_JOBS = 20

# Results named at the end: rule, description and output.
RESULTS_OF = {
    "prepare_clip": ("Clips", "figure"),
    "train_acoustic": ("Mel generator", "model"),
    "fine_tune_vocoder": ("Vocoder", "generator"),
    "make_pack": ("Pack", "pack"),
    "masking_study": ("Masking study", "table"),
    "aggregate_gradcam": ("Grad-CAM", "facts"),
    "check_explanations": ("Faithfulness of the maps", "table"),
    "evaluate_systems": ("Scores", "scores"),
    "infer_clip": ("Speech, beside its recording", "generated"),
    "infer_new_video": ("Speech of new videos", "generated"),
    "make_report": ("Page, for a browser", "page"),
    "compare_experiments": ("Comparison, for a browser", "page"),
}

# Rules that make files from one prepared clip.
OF_A_CLIP = "export_groundtruth_mel infer_clip mask_video infer_masked compare_masked explain_clip film_gradcam".split()


def describe_rules():
    """Before the first job, give the logger what is known of the rules of this run."""
    jobs = {}
    for job in workflow.dag.needrun_jobs():
        jobs.setdefault(job.rule.name, []).append(job)
    known = Known(
        titles={rule: re.split("[.:;,(]", of[0].rule.docstring or rule)[0].strip() for rule, of in jobs.items()},
        seconds={rule: fmean(seconds) for rule, of in jobs.items() if (seconds := earlier_seconds(of))}
        # Rules without a benchmark take no time.
        | {rule: 0.0 for rule, of in jobs.items() if not of[0].benchmark},
        progress={rule: file for rule, file in PROGRESS_FILES.items() if rule in jobs},
    )
    TERMINAL.info(f"{sum(map(len, jobs.values()))} jobs of {len(jobs)} rules to run.", extra={"known": known})


def earlier_seconds(jobs):
    """Return the durations of jobs in the last run that made them, from some of their benchmarks."""
    tables = [Path(job.benchmark) for job in islice((job for job in jobs if job.benchmark), TIMED_JOBS)]
    rows = [table.read_text(encoding="utf-8").splitlines()[1:] for table in tables if table.exists()]
    return [float(row[-1].split("\t")[0]) for row in rows if row]


def report_log(log):
    """Name Snakemake's own log."""
    TERMINAL.info(f"Log: {os.path.relpath(log[-1])}" if log else "")


def report_results():
    """Name the results that are complete, also after a failure."""
    dag, made = workflow.dag, {}
    for job in dag.jobs:
        if job.rule.name in RESULTS_OF and dag.noneedrun_finished(job):
            made.setdefault(job.rule.name, []).append(job)
    unset = [name for name, value in plain(SETTINGS.pack).items() if value == "not stated"]
    if unset and any(dag.finished(job) for job in made.get("make_pack", [])):
        TERMINAL.info(
            f"Before sharing {PACK}, set {', '.join(unset)} under pack: in the configuration; a voice is personal data."
        )
    for rule, (description, output) in RESULTS_OF.items():
        files = sorted(str(job.output.get(output)) for job in made.get(rule, []))
        if files:
            others = f" and {len(files) - 1} more" if files[1:] else ""
            TERMINAL.info(f"{description}: {files[0]}{others}")


def warn_of_harmful_vocoder():
    """Warn if the vocoder in use is worse than Griffin-Lim."""
    from rtmri_speech.report.scores import vocoder_verdict

    if sentence := vocoder_verdict(EVALUATION):
        TERMINAL.warning(sentence)


# Free space, bytes, below which a log may have been truncated.
LOG_BYTES = 100_000


def report_full_disk():
    """Report a full disk after a failure, as the failed job may have been unable to write its log."""
    for directory in dict.fromkeys([RESULTS, DATASET]):
        if Path(directory).exists() and shutil.disk_usage(directory).free < LOG_BYTES:
            TERMINAL.error(str(user_error(OSError(errno.ENOSPC, "", directory))))
            return


def report_refused_clips():
    """After a failure, list refused clips with their error messages, and remove older files made from them."""
    refused = {id: sentence for id in CLIPS if (sentence := refusal(id))}
    if not refused:
        return
    for name in OF_A_CLIP:
        for pattern in getattr(rules, name).output:
            for id in refused:
                for made in glob.glob(re.sub(r"{\w+}", "*", glob.escape(pattern).replace("{id}", id))):
                    Path(made).unlink()
    TERMINAL.error(f"Refused clips: {len(refused)} of {len(CLIPS)}.")
    # Clips of one recording may share a message.
    for sentence in dict.fromkeys(refused.values()):
        TERMINAL.error(sentence)
    TERMINAL.error(f"Fix or exclude them: corpus: {{exclude: {json.dumps(list(refused))}}}")


def refusal(id):
    """Return the error message of a refused clip; None if its sample exists or it was not attempted."""
    if Path(DATASET, "samples", id, "mel_db.npy").exists():
        return None
    for log in (
        Path(LOGS, "normalize_video", f"{CLIPS[id].video.stem}.log"),
        Path(LOGS, "prepare_clip", f"{id}.log"),
    ):
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
        if last and last[0].startswith("error: "):
            return last[0].removeprefix("error: ")
    return None
