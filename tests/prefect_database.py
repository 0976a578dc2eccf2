"""A prepared database for Prefect servers: creating one takes longer than starting a server."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import prefect


def prefect_database(folder: Path) -> Path:
    """Return the database in a folder that all test processes share; the first caller creates it.

    Its name contains Prefect's version, since other versions have other tables.
    """
    database = folder / f"{prefect.__version__}.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            home = folder / "home"
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run(
                [
                    str(Path(sys.executable).with_name("prefect")),
                    "server",
                    "database",
                    "upgrade",
                    "-y",
                ],
                env={**os.environ, "PREFECT_HOME": str(home)},
                check=True,
                capture_output=True,
            )
            (home / "prefect.db").rename(database)
    return database


def with_database(home: Path, database: Path) -> Path:
    """Create a Prefect home with a copy of a database, and return it."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, home / "prefect.db")
    return home
