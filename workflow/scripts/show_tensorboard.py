"""Show the logs of both models in one TensorBoard (memo 2.3 and 3.2)."""

import argparse
import socket
from pathlib import Path

from rtmri_speech.errors import UserError, run_script

LOGS = {"mel_generator": "acoustic/logs", "vocoder": "vocoder/logs"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results directory")
    parser.add_argument("--logdir", type=Path, nargs="+", help="other log directories, shown by their names")
    parser.add_argument("--port", type=int, default=6006)
    parser.add_argument(
        "--host", default="localhost", help="address to bind; 0.0.0.0 allows access from other machines"
    )
    args = parser.parse_args()

    directories = (
        {f"{path.absolute().parent.name}_{path.name}": path for path in args.logdir}
        if args.logdir
        else {name: args.results / place for name, place in LOGS.items()}
    )
    if not any(path.is_dir() for path in directories.values()):
        named = ", ".join(map(str, directories.values()))
        raise UserError(named, "there is no training log yet", "train first, or name its directory by --logdir")
    require_free(args.host, args.port)

    from tensorboard import program

    board = program.TensorBoard()
    # Trainings started later appear automatically.
    places = ",".join(f"{name}:{path.absolute()}" for name, path in directories.items())
    board.configure(argv=["tensorboard", "--logdir_spec", places, "--host", args.host, "--port", str(args.port)])
    print(f"{' and '.join(directories)}: http://{args.host}:{args.port}/ (stop with Ctrl-C)", flush=True)
    return board.main()


def require_free(host: str, port: int) -> None:
    """Refuse a port in use, and suggest a free one."""
    with socket.socket() as asking:
        # Bind like TensorBoard, so that a recently released port counts as free.
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asking.bind((host, port))
        except socket.gaierror as error:
            raise UserError(
                f"--host {host}", f"is not a name of this machine ({error})", "give localhost or 0.0.0.0"
            ) from error
        except OSError as error:
            with socket.socket() as free:
                free.bind((host, 0))
                other = free.getsockname()[1]
            fault = f"cannot be used on {host} ({error.strerror}: another program, or another TensorBoard, has it)"
            raise UserError(f"port {port}", fault, f"give another, such as --port {other}") from error


if __name__ == "__main__":
    run_script(main)
