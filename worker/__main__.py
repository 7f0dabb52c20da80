"""`python -m worker`: the commands are in `worker.cli`."""

import os

from worker.cli.commands import app
from worker.reporting.terminal import TYPED

if __name__ == "__main__":
    app(prog_name=os.environ.get(TYPED))
