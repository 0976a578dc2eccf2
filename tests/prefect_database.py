"""A database of Prefect's server that has its tables: to make one takes longer than to serve it."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import prefect


def prefect_database(folder: Path) -> Path:
    """The database in a folder that all test processes share; the first that asks makes it.

    Its name has Prefect's version: another one has other tables.
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
    """A Prefect home, made if it is not there, whose server finds its tables."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, home / "prefect.db")
    return home
