"""`python -m raywf` is the command line."""

import sys

from raywf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
