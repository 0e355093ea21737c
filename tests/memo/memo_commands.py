"""The commands of the memo, verbatim, and their adaptation to this machine, which changes only paths.

The memo (in Japanese) documents the lab's older system; docs/from_the_memo.md describes its commands and paths.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"

PREPROCESS = r"""
python preprocess_rtmri_data.py `
  --data_dir   C:\Users\Yamane\Desktop\山根研究用\normalized_videos `
  --audio_dir  C:\Users\Yamane\Desktop\山根研究用\audio_wav `
  --out_dir    C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed `
  --sr 11413 --n_mels 64 --n_fft 2048 --hop_length 420 --ref_frames 4
"""

CONVERT = r"""
python scripts/convert_pairs_to_npy.py `
  --processed_dir C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed `
  --ref_frames 4 --overwrite
"""

FILELISTS = r"""
python scripts/create_rtmri_filelists.py `
  C:\Users\Yamane\Desktop\山根研究用\audio_wav `
  C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed\hifigan_filelists `
  --valid-ratio 0.1 --seed 42
"""

TRAIN_ACOUSTIC = r"""
C:\Users\Yamane\hifigan-env\Scripts\python.exe "C:\Users\Yamane\Desktop\山根研究用\mri2speech_code\train_mri_acoustic_model.py" `
  --processed_dir "C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed" `
  --out_ckpt "C:\Users\Yamane\hifi-gan\checkpoints\mri_acoustic_model.pt" `
  --resume_ckpt "C:\Users\Yamane\hifi-gan\checkpoints\mri_acoustic_model.pt" `
  --log_dir "C:\Users\Yamane\hifi-gan\checkpoints\mri_acoustic_model_logs" `
  --epochs 4500 `
  --batch_size 8 `
  --val_batch_size 8 `
  --micro_batch_size 2 `
  --num_workers 4 `
  --prefetch_factor 4 `
  --cnn_pretrained `
  --use_checkpoint `
  --ckpt_segments 2
"""  # noqa: E501

TENSORBOARD_ACOUSTIC = r"""
tensorboard --logdir "C:\Users\Yamane\hifi-gan\checkpoints\mri_acoustic_model_logs" --port 6007 --host 0.0.0.0
"""

EXPORT = r"""
python scripts/export_predicted_mels.py `
  --processed_dir C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed `
  --mri_checkpoint C:\Users\Yamane\hifi-gan\checkpoints\mri_acoustic_model.pt `
  --scaler_json C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed\scaler.json `
  --output_dir C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed\mels_ft_log_normalized `
  --mri_code_dir C:\Users\Yamane\Desktop\山根研究用\mri2speech_code `
  --overwrite
"""

FINE_TUNE = r"""
C:\Users\Yamane\hifigan-env\Scripts\python.exe train.py ^
  --config config_custom.json ^
  --input_wavs_dir "C:\Users\Yamane\Desktop\山根研究用\audio_wav" ^
  --input_training_file "dataset\rtmri_normalized_processed\hifigan_filelists\training.txt" ^
  --input_validation_file "dataset\rtmri_normalized_processed\hifigan_filelists\validation.txt" ^
  --input_mels_dir "C:\Users\Yamane\hifi-gan\dataset\rtmri_normalized_processed\mels_ft_log_normalized" ^
  --checkpoint_path "checkpoints\jvs_11413_2048_ft_mri" ^
  --fine_tuning 1 ^
  --training_epochs 10000
"""

TENSORBOARD_VOCODER = "tensorboard --logdir ... --port 6006"

INFER = r"""
python scripts/run_mri_video_inference.py ^
  --video "C:\Users\Yamane\Desktop\山根研究用\normalized_videos\000.mp4" ^
  --mri-checkpoint "checkpoints\mri_acoustic_model.pt" ^
  --scaler-json "dataset\rtmri_normalized_processed\scaler.json" ^
  --hifigan-config "checkpoints\jvs_11413_2048_ft_mri\config.json" ^
  --hifigan-checkpoint "checkpoints\jvs_11413_2048_ft_mri\g_00330000" ^
  --output-dir "output\mri_infer_latest_ft" ^
  --mri-code-dir "C:\Users\Yamane\Desktop\山根研究用\mri2speech_code"
"""

GRADCAM = (
    "python scripts/mri_gradcam_formant.py --video normalized_videos/000.mp4 --mri-checkpoint "
    "checkpoints/mri_acoustic_model.pt --scaler-json dataset/rtmri_normalized_processed/scaler.json --output-dir "
    "output/gradcam_formant/000_mix_gt08_60k --formant-band F1:300-900 --formant-band F2:900-2500 --target-frames 60 "
    "90 120 --device cuda"
)

SLOW_FILM = (
    "python scripts/create_gradcam_video.py --video ... --sequence ... --start-frame ... --output ... --fps 5 --repeat "
    "4 --alpha 0.7"
)

OVERLAY_FILM = (
    "python scripts/create_gradcam_overlay_video.py --video ... --heatmap gradcam_F1_sequence.npy --heatmap2 "
    "gradcam_F2_sequence.npy --audio <generated.wav> --output ... --alpha 0.7 --resize 256 256"
)

COMMANDS = {
    name: text.strip()
    for name, text in list(globals().items())
    if name.isupper() and isinstance(text, str) and ("python" in text or "tensorboard" in text)
}

PATHS = {
    "python": sys.executable,
    r"C:\Users\Yamane\hifigan-env\Scripts\python.exe": sys.executable,
    "tensorboard": str(Path(sys.executable).with_name("tensorboard")),
    r"C:\Users\Yamane\Desktop\山根研究用\mri2speech_code\train_mri_acoustic_model.py": str(
        SCRIPTS / "train_mri_acoustic_model.py"
    ),
    "preprocess_rtmri_data.py": str(SCRIPTS / "preprocess_rtmri_data.py"),
    "train.py": str(SCRIPTS / "train.py"),
    "scripts/": f"{SCRIPTS}/",
    "C:\\Users\\Yamane\\Desktop\\山根研究用": "{machine}/山根研究用",
    "C:\\Users\\Yamane\\hifi-gan": "{machine}/hifi-gan",
    "normalized_videos/": "{machine}/山根研究用/normalized_videos/",
    "checkpoints\\": "checkpoints/",
    "dataset\\": "dataset/",
    "output\\": "output/",
    # Its newest checkpoint is another one, and its film is made of maps that lie elsewhere.
    r"checkpoints\jvs_11413_2048_ft_mri\g_00330000": "checkpoints/jvs_11413_2048_ft_mri/g_00055002",
    "gradcam_F1_sequence.npy": "output/gradcam_formant/000_mix_gt08_60k/gradcam_F1_sequence.npy",
    "gradcam_F2_sequence.npy": "output/gradcam_formant/000_mix_gt08_60k/gradcam_F2_sequence.npy",
}
"""All that changes: how a word of the memo begins, and what stands for it here; the backslashes after it turn too."""


def pasted(command: str, machine: Path, filled: tuple[str, ...] = ()) -> list[str]:
    """The words of a command of the memo for this machine.

    Parameters
    ----------
    command : as it stands in the memo; back-ticks and carets at the ends of lines go.
    machine : directory that stands for the memo's ``C:\\Users\\Yamane``.
    filled : what stands for the memo's ``...`` and ``<...>``, in their order.
    """
    one_line = re.sub(r"[`^]\s*\n", " ", command)
    words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', one_line)]
    answers = iter(filled)
    words = [next(answers) if word == "..." or word.startswith("<") else word for word in words]
    assert not list(answers)
    return [_here(word, machine) for word in words]


def _here(word: str, machine: Path) -> str:
    for theirs in sorted(PATHS, key=len, reverse=True):
        if word == theirs or (word.startswith(theirs) and theirs[-1] in "/\\") or word.startswith(theirs + "\\"):
            return PATHS[theirs].format(machine=machine) + word[len(theirs) :].replace("\\", "/")
    return word
