"""docs/on_a_gpu.md from what benchmarks/on_gpu.py found, a section a card.

    python benchmarks/write_on_a_gpu.py RESULT.json ... --output docs/on_a_gpu.md

Without a result the page says that no card has run it yet. A trial at toy size, or on the processor, is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from gpu.report import section, write

HEAD = """# On a GPU

Made by `benchmarks/write_on_a_gpu.py` from the results of

    python benchmarks/on_gpu.py --minutes 8 --out DIR

which runs the tests marked `gpu`, compares the GPU with the processor, and measures both trainings, synthesis and
Grad-CAM at full size. `benchmarks/gather_for_gpu.py` gathers what a machine without network needs.
"""

NONE = """
**No card has run it yet.** Every part has been tried on a processor at toy size alone (`--tiny --device cpu`), and
the tests marked `gpu` with `RTMRI_SPEECH_GPU_TESTS=cpu`. There is no number of a GPU in this project.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*", help="on_a_gpu.json of each card")
    parser.add_argument("--output", type=Path, default=Path("docs/on_a_gpu.md"))
    args = parser.parse_args()
    text = HEAD
    for path in args.results:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["size"] != "full" or content["machine"]["device"] != "cuda":
            sys.exit(f"{path}: is a trial, not of a GPU at full size; run on_gpu.py on one.")
        text += "\n" + "\n".join(section(content)) + "\n"
    write(args.output, text if args.results else HEAD + NONE)


if __name__ == "__main__":
    main()
