"""Encryption of what is backed up, by age: to recipients when it is made, by an identity after."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.backups.programs import age, pipe
from services.errors import PermanentError, UsageError


@dataclass(frozen=True)
class Recipients:
    """For whom a backup is encrypted; for nobody, it is not.

    Attributes:
        keys: Public keys, as ``age1…`` or ``ssh-ed25519 …``.
        files: Files with one such key a line.
    """

    keys: Sequence[str] = ()
    files: Sequence[Path] = ()

    def __bool__(self) -> bool:
        return bool(self.keys or self.files)

    def check(self) -> None:
        """See that something can be encrypted for them, before anything is written.

        Raises:
            UsageError: A key or file is none, or age is not installed.
        """
        if not self:
            return
        program = age()
        for file in self.files:
            if not file.is_file():
                raise UsageError(
                    f"{file} is no file of age's recipients",
                    hint="`age-keygen -y key.txt > recipients.txt` makes one",
                )
        try:
            pipe([[program, *self.words]])
        except PermanentError as error:
            raise UsageError(
                f"cannot encrypt: {error}",
                reason="badRecipient",
                hint="a recipient looks like age1…; `age-keygen` makes one",
            ) from error

    @property
    def words(self) -> list[str | Path]:
        """How age is told of them."""
        keys = [word for key in self.keys for word in ("-r", key)]
        return ["-e", *keys, *(word for file in self.files for word in ("-R", file))]

    def encrypt(self, plain: Path, to: Path) -> None:
        """Write a file's content, encrypted if it is to be.

        Raises:
            PermanentError: age failed.
        """
        if not self:
            plain.replace(to)
            return
        with plain.open("rb") as source:
            pipe([[age(), *self.words]], source=source, target=to)


def decrypt(stored: Path, to: Path, *, encrypted: bool, identity: Path | None) -> None:
    """Write what was backed up as it was before it was encrypted.

    Raises:
        UsageError: It is encrypted and there is no identity, or another one's (``noIdentity``).
    """
    if not encrypted:
        shutil.copyfile(stored, to)
        return
    if identity is None:
        raise UsageError(
            "the backup is encrypted",
            reason="noIdentity",
            hint="name the file with the secret key by --identity",
        )
    try:
        with stored.open("rb") as source:
            pipe([[age(), "-d", "-i", identity]], source=source, target=to)
    except PermanentError as error:
        raise UsageError(
            f"the backup cannot be decrypted: {error}",
            reason="noIdentity",
            hint="--identity wants the file whose public key was among the recipients",
        ) from error
