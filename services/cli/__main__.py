"""`python -m services.cli` is `kickfleet`."""

import sys

from services.cli.main import main

sys.exit(main())
