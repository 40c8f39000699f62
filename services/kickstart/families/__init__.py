"""The families that can be installed: to add one, write its file and add its line here."""

from services.kickstart.families.debian import DEBIAN
from services.kickstart.families.family import Family, Target
from services.kickstart.families.redhat import REDHAT

FAMILIES = {family.name: family for family in (REDHAT, DEBIAN)}

__all__ = ["FAMILIES", "Family", "Target"]
