"""Invalid or hostile configurations end a real ``snakemake -n`` in one sentence and execute nothing."""

import datetime

import pytest
import yaml
from workflow_checkout import Checkout

from rtmri_speech.configuration import load_configuration
from rtmri_speech.errors import UserError

SOUND = {"results": "results", "corpus": {"source": "demo", "demo": {"clips": 5}}}

WRONG = {
    "a word for a number": ({"mel": {"n_fft": "many"}}, "mel.n_fft"),
    "a band that leads out": ({"bands": {"../x": [300, 900]}}, "bands"),
    "a band with a line's end": ({"bands": {"F1\n": [300, 900]}}, "bands"),
    "a mask that leads out": ({"synthesis": {"masks": {"/tmp/x": {"type": "lip"}}}}, "synthesis.masks"),
    "a clip that leads out": ({"corpus": {"exclude": ["../x"]}}, "corpus.exclude"),
    "a huge mel": ({"mel": {"n_mels": 10**12}}, "mel.n_mels"),
    "a huge picture": ({"video": {"size": [10**9, 10**9]}}, "video.size"),
    "infinity": ({"audio": {"gain": float("inf")}}, "audio.gain"),
    "not a number": ({"bands": {"F1": [float("nan"), 900]}}, "bands"),
    "a band whose name is a number": ({"bands": {1: [300, 900]}}, "bands"),
    "keys that are numbers": ({"mel": {1: 2, "x": 3}}, "mel"),
    "a list of everything": ({"acoustic": [1, {"a": None}]}, "acoustic"),
    "a date": ({"split": {"seed": datetime.date(2020, 1, 1)}}, "split.seed"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("configurations"), {})


def plan(checkout, text):
    checkout.settings = {}
    (checkout.directory / "hostile.yaml").write_text(text, encoding="utf-8")
    before = sorted(path for path in checkout.directory.rglob("*") if ".snakemake" not in path.parts)
    run = checkout.snakemake("-n", "--configfile", "hostile.yaml", "--")
    after = sorted(path for path in checkout.directory.rglob("*") if ".snakemake" not in path.parts)
    left = {path.name for path in after} - {path.name for path in before} - {"my config.yaml", "__pycache__"}
    assert not {name for name in left if not name.endswith(".pyc")}
    return run


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_is_refused_by_its_key(name):
    wrong, key = WRONG[name]
    with pytest.raises(UserError) as refusal:
        load_configuration({**SOUND, **wrong})
    assert refusal.value.subject.startswith(key)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a band that leads out", "infinity"])
def test_a_dry_run_refuses_it_in_one_sentence(checkout, name):
    wrong, key = WRONG[name]
    run = plan(checkout, yaml.dump({**SOUND, **wrong}))
    out = run.stdout + run.stderr
    assert run.returncode != 0
    assert "Traceback" not in out, out
    assert key in out


@pytest.mark.slow
def test_a_python_tag_in_a_configuration_executes_nothing(checkout):
    marker = checkout.directory / "marker"
    tag = "!!python/object/apply:os.system"
    run = plan(checkout, f"results: results\ncorpus: {{source: demo}}\nx: {tag} ['echo > {marker.as_posix()}']\n")
    assert run.returncode != 0
    assert "Traceback" not in run.stdout + run.stderr
    assert not marker.exists()


@pytest.mark.slow
def test_a_hostile_table_is_refused_in_one_sentence(checkout):
    (checkout.directory / "clips.tsv").write_text("id\tvideo\n../x\ta.mp4\n", encoding="utf-8")
    run = plan(checkout, yaml.dump({"results": "results", "corpus": {"source": "table", "table": "clips.tsv"}}))
    out = run.stdout + run.stderr
    assert run.returncode != 0
    assert "Traceback" not in out, out
    assert "clips.tsv, line 2" in out and "is not a valid clip id" in out
