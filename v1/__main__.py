"""The API's process: `python -m v1`."""

import sys

from .server.process import main

if __name__ == "__main__":
    sys.exit(main())
