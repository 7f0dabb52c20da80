"""`python -m worker`: the commands are in `worker.cli`."""

from worker.cli.commands import app

if __name__ == "__main__":
    app()
