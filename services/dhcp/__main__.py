"""`python -m services.dhcp`: the DHCP service alone."""

import sys

from libs.service import run_service
from services.dhcp.service import dhcp

if __name__ == "__main__":
    sys.exit(run_service("dhcp", dhcp))
