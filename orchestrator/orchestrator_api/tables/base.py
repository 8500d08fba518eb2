"""What all tables have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from orchestrator_api.columns import Json, UTCDateTime

# Without names of our own a constraint could not be changed by a later migration.
NAMES: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
USER_LENGTH: Final = 63
NAME_LENGTH: Final = 63
SECRET_NAME_LENGTH: Final = 128
REVISION_LENGTH: Final = 64


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: Json, list[str]: Json}  # noqa: RUF012
