"""
Runs a command for as long as somebody holds the other end of our standard input, and ends with its exit code. So
whoever starts it leaves nothing behind, not even killed. What the command is does not matter; knows nothing but the
standard library, because it is started for moments.
"""

import os
import signal
import sys
import time
from subprocess import DEVNULL, Popen
from threading import Thread

STOP_SECONDS = 30.0
"""How long the command may take to end before it is killed."""


def main(command: list[str]) -> int:
    # What is open here was handed to us to be handed on.
    with Popen(command, stdin=DEVNULL, close_fds=False) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        Thread(target=follow, args=(process,), daemon=True).start()
        return process.wait()


def follow(process: Popen[bytes]) -> None:
    """Wait until nobody holds us any more, and end it."""
    while os.read(0, 1):
        pass
    process.terminate()
    time.sleep(STOP_SECONDS)
    process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
