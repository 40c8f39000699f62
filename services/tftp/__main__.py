"""`python -m services.tftp`: the TFTP service alone."""

import sys

from libs.service import run_service
from services.tftp.service import tftp

sys.exit(run_service("tftp", tftp))
