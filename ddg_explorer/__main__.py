"""`python -m ddg_explorer`: the command line."""

import sys

from ddg_explorer.cli import main

sys.exit(main())
