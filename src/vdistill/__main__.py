"""`python -m vdistill` is the same program as `vdistill`."""

import sys

from vdistill.cli import main

if __name__ == "__main__":
    sys.exit(main())
