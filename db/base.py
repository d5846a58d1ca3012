"""The declarative base: one naming convention, UTC timestamps, typed columns."""

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

# Names follow from the columns, so that a migration can drop what another one made.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

ChannelId = Annotated[str, mapped_column(Text)]
VideoId = Annotated[str, mapped_column(Text)]
Sha256 = Annotated[str, mapped_column(Text)]

CHANNEL_ID_PATTERN = "^UC[A-Za-z0-9_-]{22}$"
VIDEO_ID_PATTERN = "^[A-Za-z0-9_-]{11}$"
SHA256_PATTERN = "^[0-9a-f]{64}$"


class Base(DeclarativeBase):
    """Base of all models; ``Base.metadata`` is what migrations are held to."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it once, as a class attribute)
        str: Text(),
        int: BigInteger(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
    }
