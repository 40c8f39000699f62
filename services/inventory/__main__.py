"""`python -m services.inventory`: this service alone."""

import sys

from libs.service import run_service
from services.inventory.service import inventory

if __name__ == "__main__":
    sys.exit(run_service("inventory", inventory))
