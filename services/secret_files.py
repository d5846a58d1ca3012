"""Settings from files that a variable names: ``TUBEGRADER_OWNER_URL_FILE=/run/secrets/owner``.

Everybody who may look at a container or a process sees its environment; a file has a mode.
"""

import os
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from services.errors import UsageError

FIELDS: Final = (
    "database_url",
    "owner_url",
    "analyst_url",
    "redis_url",
    "youtube_api_key",
    "api_admin_token",
    "ytdlp_proxy",
    "notify_webhook",
    "mlflow_uri",
)
"""Settings that are or hold a secret. The variable itself wins where both are given."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the file that ``TUBEGRADER_<NAME>_FILE`` names, without the last line's end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a setting's value, or None where no file is named for it."""
        del field
        variable = f"{self.config['env_prefix']}{field_name}_FILE".upper()
        path = os.environ.get(variable) if field_name in FIELDS else None
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{variable} names a file that cannot be read: {path}",
                hint="give whoever runs TubeGrader the right to read it, or unset the variable",
            ) from error

    def __call__(self) -> dict[str, Any]:
        """Return what the files hold; empty ones count as not set."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value}
