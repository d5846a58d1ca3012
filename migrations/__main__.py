"""Make the next revision of the schema: ``python -m migrations "what it does"``.

A throwaway PostgreSQL from a wheel is brought to the newest revision, and Alembic writes what the
models have beyond it. What it cannot see, such as views, data and the reason, is the author's.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.util import CommandError

from db.migrate import alembic_config, head_revision, upgrade
from services.embedded import postgres
from services.embedded.home import Home

_VERSIONS = Path(__file__).parent / "versions"
_NUMBER = "{:04}"
# Alembic marks what it wrote; whoever commits a revision stands for all of it.
_MARK = re.compile(r"^ *# ### .* ###\n", re.MULTILINE)


def main(message: str) -> None:
    """Write the next revision for the models as they are, and say where it is."""
    with TemporaryDirectory(prefix="tubegrader-migration-") as folder:
        home = Home(Path(folder) / "home")
        home.create()
        try:
            url = postgres.start(home, durable=False).owner_url
            upgrade(url)
            path = write_revision(url, message)
        finally:
            postgres.stop(home)
    print(f"{os.path.relpath(path)}: read it, and add what Alembic cannot see")


def write_revision(database_url: str, message: str, versions: Path = _VERSIONS) -> Path:
    """Write a revision that takes a database to the models.

    Args:
        database_url: A database at the newest revision.
        message: What it does, in a few words; becomes the file's first line and its name.
        versions: The folder to write into.

    Returns:
        The new file. Where models and database agree it does nothing yet.

    Raises:
        CommandError: The database is not at the newest revision.
    """
    summary = message.strip().rstrip(".")
    config = alembic_config(database_url)
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join({str(_VERSIONS), str(versions)}))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    made = command.revision(
        config,
        summary[:1].upper() + summary[1:],
        autogenerate=True,
        rev_id=_NUMBER.format(int(head_revision()) + 1),
        version_path=str(versions),
    )
    if made is None or isinstance(made, list):
        raise CommandError("one revision was asked for, and another number was written")
    path = Path(made.path)
    path.write_text(_MARK.sub("", path.read_text()))
    ruff = [sys.executable, "-m", "ruff", "--quiet"]
    subprocess.run([*ruff, "check", "--fix-only", path], check=True)
    subprocess.run([*ruff, "format", path], check=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].strip():  # noqa: PLR2004
        sys.exit('say what it does: make migration M="what it does"')
    main(sys.argv[1])
