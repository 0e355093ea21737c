"""Every flag of the memo's scripts is taken by the script of the same name, or refused with what to give instead.

Each is given to its script with an input that is not there: that the script asks for the input shows that it took the
flag. The flags are those of the old programs and of the memo's notes.
"""

import runpy
import sys

import pytest
from memo_commands import SCRIPTS

from rtmri_speech.errors import UserError

ACOUSTIC = ["--processed_dir", "missing", "--out_ckpt", "made/model.pt"]
VOCODER = ["--config", "missing", "--input_wavs_dir", "w", "--input_training_file", "t.txt"]
VOCODER += ["--input_validation_file", "v.txt", "--checkpoint_path", "made"]
SPEECH = [
    "--video",
    "missing",
    "--mri-checkpoint",
    "missing",
    "--hifigan-checkpoint",
    "missing",
    "--output-dir",
    "made",
]
GRADCAM = ["--video", "missing", "--mri-checkpoint", "missing", "--output-dir", "made"]

NEEDED = {
    "preprocess_rtmri_data.py": ["--data_dir", "missing", "--out_dir", "made"],
    "convert_pairs_to_npy.py": ["--processed_dir", "missing"],
    "create_rtmri_filelists.py": ["missing", "made"],
    "train_mri_acoustic_model.py": ACOUSTIC,
    "export_predicted_mels.py": ["--processed_dir", "missing", "--mri_checkpoint", "missing", "--output_dir", "made"],
    "export_groundtruth_mels.py": ["--processed_dir", "missing", "--output_dir", "made"],
    "train.py": VOCODER,
    "run_mri_video_inference.py": SPEECH,
    "mri_gradcam_formant.py": GRADCAM,
    "create_gradcam_video.py": ["--video", "missing", "--sequence", "missing", "--output", "made.mp4"],
    "create_gradcam_overlay_video.py": ["--video", "missing", "--heatmap", "missing", "--output", "made.mp4"],
    "mask_rtmri_video.py": ["--input", "missing", "--output", "made.mp4"],
}

FLAGS = {
    "preprocess_rtmri_data.py": """
        --audio_dir missing, --sr 11413, --n_mels 64, --n_fft 2048, --win_length 2048, --hop_length 420, --fmin
        0, --fmax 5706.5, --preemph 0.97, --resize_h 256, --resize_w 256, --ref_frames 4, --video_exts .mp4
        .avi, --audio_exts .wav, --prefer_wav, --no_prefer_wav""",
    "convert_pairs_to_npy.py": "--ref_frames 4, --overwrite",
    "create_rtmri_filelists.py": "--valid-ratio 0.1, --seed 42",
    "train_mri_acoustic_model.py": """
        --resume_ckpt x.pt, --log_dir logs, --ref_frames 4, --epochs 4500, --batch_size 8, --val_batch_size 8,
        --micro_batch_size 2, --num_workers 4, --prefetch_factor 4, --max_train_steps 10, --max_val_steps 10,
        --lr 1e-4, --weight_decay 1e-4, --grad_clip 1.0, --device cpu, --cnn_pretrained, --use_checkpoint,
        --ckpt_segments 2, --use_reentrant, --pin_memory""",
    "export_predicted_mels.py": "--scaler_json missing, --mri_code_dir C:\\code, --cpu, --overwrite",
    "export_groundtruth_mels.py": "--overwrite",
    "train.py": """
        --input_mels_dir mels, --group_name g, --training_epochs 10000, --stdout_interval 5,
        --checkpoint_interval 5000, --summary_interval 100, --validation_interval 1000, --fine_tuning 0,
        --extra_mels_dir mels_gt_log, --extra_mels_weight 0.8""",
    "run_mri_video_inference.py": """
        --scaler-json missing, --hifigan-config missing, --mri-code-dir C:\\code, --max-frames 10, --n-mels 64,
        --rnn-hidden 640, --dropout 0.5""",
    "mri_gradcam_formant.py": """
        --scaler-json missing, --formant-band F1:300-900, --target-frames 60 90 120, --reduction sum, --device
        cpu, --mri-code-dir C:\\code, --n-mels 64, --sampling-rate 11413, --fmin 0, --fmax 5706.5""",
    "create_gradcam_video.py": "--start-frame 3, --fps 5, --repeat 4, --alpha 0.7, --resize 256 256",
    "create_gradcam_overlay_video.py": """
        --heatmap2 missing, --combine-mode mean, --audio missing, --alpha 0.7, --fps 27, --resize 256 256""",
    "mask_rtmri_video.py": "--mask-type tongue, --alpha 0.5, --blur-kernel 11",
}

REFUSED = [
    ("preprocess_rtmri_data.py", "--fmax 8000", r"mel\.fmax: is 8000 Hz, above half .*; give at most 5706\.5\.$"),
    ("train.py", "--fine_tuning 1", r"--input_mels_dir: is missing; --fine_tuning 1 needs the predicted mels\.$"),
]


def run(script: str, words: list[str], monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, *words])
    runpy.run_path(str(SCRIPTS / script), run_name="script")["main"]()


@pytest.mark.parametrize(
    ("script", "flag"), [(script, flag) for script, flags in FLAGS.items() for flag in map(str.strip, flags.split(","))]
)
def test_a_flag_of_the_memo_is_accepted(script, flag, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UserError, FileNotFoundError), match="missing"):
        run(script, [*NEEDED[script], *flag.split()], monkeypatch)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(("script", "flag", "sentence"), REFUSED)
def test_a_refused_flag_of_the_memo_names_the_alternative(script, flag, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        run(script, [*NEEDED[script], *flag.split()], monkeypatch)


@pytest.mark.parametrize("script", ["export_predicted_mels.py", "run_mri_video_inference.py", "mri_gradcam_formant.py"])
@pytest.mark.parametrize("spelling", ["--mri-code-dir", "--mri_code_dir"])
def test_the_code_directory_is_reported_as_ignored(script, spelling, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="missing"):
        run(script, [*NEEDED[script], spelling, "C:\\Users\\Yamane\\Desktop\\山根研究用\\mri2speech_code"], monkeypatch)
    assert capsys.readouterr().err == f"{spelling}: ignored.\n"
