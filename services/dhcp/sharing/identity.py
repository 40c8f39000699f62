"""What a server must know of itself and the others without the bus: one small file, synced whenever it changes."""

import json
import os
import secrets
from pathlib import Path

from pydantic import ValidationError

from libs.desired import Document
from services.dhcp.sharing.membership import History, Membership


class IdentityError(Exception):
    """The file cannot be used; the message says which, why, and what would help."""


class Identity(Document):
    """`id` stays with the data folder for ever; `history` is empty until the server takes part."""

    id: str
    history: History = ()
    membership: Membership = Membership()


def load(path: Path) -> Identity:
    """The identity, made anew with a new data folder. Raises IdentityError."""
    try:
        return Identity.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return save(path, Identity(id=secrets.token_hex(8)))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise IdentityError(
            f"{path} cannot be used: {str(error).splitlines()[0]}. It says which addresses are this server's own; if it"
            f" is lost for good, delete it: the server then joins as a new one, and the old one is to be forgotten"
        ) from None


def save(path: Path, identity: Identity) -> Identity:
    """Have it on the disk when this returns. Raises IdentityError."""
    partial = path.with_suffix(".new")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(identity.model_dump(mode="json"), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise IdentityError(f"{path} cannot be written: {error.strerror}") from None
    return identity
