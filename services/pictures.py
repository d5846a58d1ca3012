"""Pictures that were collected, for front doors to show."""

from db.models import Thumbnail
from services.context import Context
from services.errors import NotFoundError, PermanentError


def stored_picture(context: Context, sha256: str) -> tuple[bytes, str]:
    """Return the bytes of a collected thumbnail and their media type.

    Raises:
        NotFoundError: It was never collected, or its bytes were purged or are damaged.
    """
    with context.transaction() as session:
        row = session.get(Thumbnail, sha256)
        kind = None if row is None or row.purged_at is not None else row.format
    if kind is None:
        raise NotFoundError(f"there is no picture {sha256}", reason="noPicture")
    try:
        return context.store.get(sha256), f"image/{kind}"
    except PermanentError as error:
        raise NotFoundError(str(error), reason=error.reason, hint=error.hint) from error
