"""The API's process: `python -m v1`."""

import gc
import sys


def main() -> int:
    # What is imported stays. That the collector looks through it again and again is a seventh of the time of a start.
    gc.disable()
    from .server import process  # noqa: PLC0415  # imported while the collector is off

    gc.freeze()
    gc.enable()
    return process.main()


if __name__ == "__main__":
    sys.exit(main())
