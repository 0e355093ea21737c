"""The workflow on a real SLURM: undisturbed, and with cancelled, killed and timed-out jobs."""

import itertools
import re
import signal

import pytest
from cluster_workflow import MODEL, SPEECH, ClusterWorkflow, assert_same_model
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from workflow_checkout import CLIPS

pytestmark = pytest.mark.slow


def assert_no_step_lost_or_made_twice(workflow: ClusterWorkflow) -> None:
    """Require each epoch once and in order in the log, and all steps in the state."""
    log = EventAccumulator(str(workflow.directory / "results" / "acoustic" / "logs")).Reload()
    epochs = workflow.checkout.settings["acoustic"]["epochs"]
    for tag in ("loss/train", "loss/val", "lr"):
        assert [event.step for event in log.Scalars(tag)] == list(range(1, epochs + 1)), tag
    assert workflow.saved_steps()[-1] % epochs == 0


def test_the_whole_workflow_runs_with_all_clips_in_one_submission(undisturbed):
    workflow = undisturbed
    (log,) = (workflow.directory / ".snakemake" / "log").glob("*.snakemake.log")
    told, jobs = log.read_text(encoding="utf-8"), workflow.driven
    assert (workflow.directory / SPEECH).stat().st_size > 1000, told
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}, told
    of_clips = [line.split()[1].rstrip(":") for line in told.splitlines() if line.startswith("localrule")]
    of_clips = [rule for rule in of_clips if rule in ("prepare_clip", "infer_clip")]
    assert len(of_clips) == len(CLIPS) + 2
    submitted = [job["Comment"].removeprefix("rule_").split("_wildcards")[0] for job in jobs if "Comment" in job]
    assert not set(submitted) & set(of_clips)
    assert 1 + len(submitted) == len(jobs)
    print(f"{len(of_clips)} jobs of clips and {len(submitted)} others in {len(jobs)} submissions")
    on_gpus = {"train_acoustic", "export_predicted_mels", "fine_tune_vocoder"}
    for job, rule in zip(jobs[1:], submitted, strict=True):
        expected = ("gpu", "gres:gpu:1") if rule in on_gpus else ("cpu", None)
        assert (job["Partition"], job.get("TresPerJob")) == expected, rule
    assert "Using GPU 0." in workflow.said_by("train_acoustic")


def test_two_gpu_jobs_at_a_time_on_two_gpus(undisturbed, slurm):
    undisturbed.checkout.configure(analysis={"gpus": 1})
    workflow = ClusterWorkflow(undisturbed.checkout, slurm)
    clips = ["a0", "a1", "b0", "b1"]
    workflow.make(*(f"results/gradcam/{id}/gradcam_F1.json" for id in clips))
    jobs = [job for job in workflow.jobs() if "explain_clip" in job["Comment"]]
    assert len(jobs) == len(clips)
    gpus = {}
    for job in jobs:
        assert job["TresPerJob"] == "gres:gpu:1"
        told = workflow.said_by(f"explain_clip/{job['Comment'].split('_')[-1]}")
        (gpu,) = re.findall(r"Using GPU (.*)\.", told)
        gpus.setdefault(gpu, []).append((job["StartTime"], job["EndTime"]))
    # Both GPUs were used, at the same time, and neither by two at a time.
    assert set(gpus) == {"0", "1"}
    assert any(one[0] < other[1] and other[0] < one[1] for one in gpus["0"] for other in gpus["1"]), gpus
    for times in gpus.values():
        times.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times)), gpus


def test_a_cancelled_training_resumes_in_a_rerun(untrained, undisturbed, slurm):
    workflow = untrained(slurm)
    with workflow.started(MODEL) as snakemake:
        slurm.run("scancel", workflow.training()["JobId"])
        # The retries as well, so that the run ends without the model.
        for number in (2, 3):
            slurm.run("scancel", workflow.job_in("PENDING", "RUNNING", number=number)["JobId"])
        assert snakemake.wait(600) == 1
    assert not workflow.model.exists()
    assert [job["JobState"] for job in workflow.jobs()] == ["CANCELLED"] * 3
    stopped_at = workflow.saved_steps()[-1]
    workflow.make(MODEL)
    assert f"resumes at step {stopped_at}." in workflow.said_by("train_acoustic")
    assert_same_model(workflow.model, undisturbed.model)
    assert_no_step_lost_or_made_twice(workflow)


def test_a_training_out_of_time_resumes_by_a_retry(untrained, undisturbed, slurm):
    workflow = untrained(slurm)
    with workflow.started(MODEL) as snakemake:
        job = workflow.training()
        # Its time is over soon, and SLURM tells it before.
        slurm.run("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now+90seconds")
        (job,) = workflow.jobs()
        assert snakemake.wait(600) == 0, snakemake.log.read_text()
    first, second = workflow.jobs()
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert first["EndTime"] < job["EndTime"]
    assert "resumes at step" in workflow.said_by("train_acoustic")
    assert_same_model(workflow.model, undisturbed.model)
    assert_no_step_lost_or_made_twice(workflow)


def test_an_attempt_out_of_memory_is_retried_with_more(untrained, undisturbed, start_slurm):
    # It needs between 500 and 2000 MB, and is seen to.
    workflow = untrained(start_slurm(over_memory_kill=True), acoustic={"memory_mb": 500})
    workflow.make(MODEL)
    *failed, last = workflow.jobs()
    assert failed
    assert last["JobState"] == "COMPLETED"
    assert {job["JobState"] for job in failed} <= {"FAILED", "CANCELLED", "OUT_OF_MEMORY"}
    asked = [int(job["MinMemoryNode"].removesuffix("M")) for job in (*failed, last)]
    assert asked == [500 * 2**attempt for attempt in range(len(asked))]
    assert_same_model(workflow.model, undisturbed.model)


def test_an_interrupted_snakemake_cancels_its_jobs(untrained, undisturbed, slurm):
    workflow = untrained(slurm)
    with workflow.started(MODEL, pause=60) as snakemake:
        workflow.training()
        snakemake.send_signal(signal.SIGINT)
        assert snakemake.wait(300) != 0
    assert workflow.job_in("CANCELLED")
    assert workflow.saved_steps(), "the training was not given the time to save"
    workflow.make(MODEL)
    assert_same_model(workflow.model, undisturbed.model)


def test_after_a_killed_snakemake_nothing_is_trained_twice_or_lost(untrained, undisturbed, slurm):
    workflow = untrained(slurm)
    with workflow.started(MODEL) as snakemake:
        first = workflow.training()
        snakemake.kill()
        snakemake.wait()
    # The job knows nothing of it and would go on; it is held, so that the second one meets it.
    code, said = workflow.ended(MODEL)
    assert code != 0
    assert "--unlock" in said
    workflow.make("--unlock")
    with workflow.started(MODEL) as snakemake:
        second = workflow.job_in("RUNNING", number=2)
        workflow.wait_for("waiting for it to end", "train_acoustic")
        assert slurm.jobs()[first["JobId"]]["JobState"] == "RUNNING"
        workflow.wake()
        assert snakemake.wait(600) == 0, snakemake.log.read_text()
    for job in (first, second):
        assert slurm.jobs()[job["JobId"]]["JobState"] == "COMPLETED"
    assert "The training is finished (all 60 epochs)" in workflow.said_by("train_acoustic")
    assert_same_model(workflow.model, undisturbed.model)
    assert_no_step_lost_or_made_twice(workflow)
