"""`python -m services.kickstart`"""

import sys

from libs.service import run_service
from services.kickstart.service import kickstart

sys.exit(run_service("kickstart", kickstart))
