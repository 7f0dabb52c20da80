"""`python -m worker`: the commands are in `worker.cli`."""

import gc
import os


def main() -> None:
    # What is imported stays. That the collector looks through it again and again is a seventh of the time of a start.
    gc.disable()
    from worker.cli.commands import app  # noqa: PLC0415  # imported while the collector is off
    from worker.reporting.terminal import TYPED  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    app(prog_name=os.environ.get(TYPED))


if __name__ == "__main__":
    main()
