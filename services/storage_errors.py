"""What an object store's errors mean."""

import re

from obstore.exceptions import BaseError

from services.errors import PermanentError, TransientError

_NO_BUCKET = re.compile(r"\bNoSuchBucket\b|\bContainerNotFound\b|specified bucket does not exist")
"""What stores answer; S3 and Google, Azure."""


class clear_errors:  # noqa: N801  (reads as a statement: with clear_errors(name))
    """Turn the store's errors into ours."""

    def __init__(self, name: str, *, missing: bool = True) -> None:
        """Name the object; ``missing`` says whether that it is not there is an error, too."""
        self._name = name
        self._missing = missing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and _NO_BUCKET.search(str(error)):
            # Said of every object; and it is there again once somebody has made it.
            raise TransientError(
                "the object store's bucket does not exist",
                reason="storeFailed",
                hint="make the bucket that TUBEGRADER_STORAGE_URL names, or name another one",
            ) from error
        if isinstance(error, FileNotFoundError):
            if not self._missing:
                return
            raise PermanentError(
                f"object {self._name} is not in the store", reason="objectMissing"
            ) from error
        if isinstance(error, BaseError | OSError):
            raise TransientError(
                f"the object store failed on {self._name}: {error}",
                reason="storeFailed",
                hint="check TUBEGRADER_STORAGE_URL, its credentials and the free space",
            ) from error
