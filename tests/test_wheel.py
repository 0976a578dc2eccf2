"""The built package beside a Prefect project that has `flows` and `tasks` packages of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support import ROOT

FILES = {
    "flows/__init__.py": "",
    "flows/nightly.py": """
from prefect import flow

from article_flows.flows.pipeline import article_pipeline
from article_flows.tasks.settings import PipelineSettings
from tasks.names import LAKE


@flow
def nightly():
    return article_pipeline(PipelineSettings(sources=["demo"], lake=LAKE, limit=3))


if __name__ == "__main__":
    print("answered:", nightly().summarize.answered)
""",
    "tasks/__init__.py": "",
    "tasks/names.py": "LAKE = 'their-lake'\n",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it into a new environment.

    What it depends on is borrowed from this one: a ``.pth`` file adds the folder but does not
    run what is in it, so that the editable install of the project stays out.
    """
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: setuptools would leave build/ and its egg-info behind in the tree.
    source = folder / "source"
    source.mkdir()
    for name in ("article_flows", "flows", "tasks", "data"):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    subprocess.run([*pip, "install", "--no-deps", *folder.glob("*.whl")], check=True)
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([python, "-c", script], text=True).strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
def test_a_project_with_flows_and_tasks_of_its_own_runs_beside_the_package(
    python: Path, tmp_path: Path
) -> None:
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }

    def run(*command: str | Path) -> str:
        return subprocess.run(
            command,
            cwd=tmp_path / "project",
            env=environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            timeout=180,
        ).stdout

    where = run(python, "-c", "import article_flows; print(article_flows.__file__)")
    theirs = run(python, "-m", "flows.nightly")
    command = python.with_name("article-flows")
    ours = run(command, "run", "demo", "--lake", "ours", "--limit", "2", "--json")

    assert str(python.parents[1]) in where
    assert "answered: 3" in theirs
    assert '"answered": 2' in ours or '"answered":2' in ours
    assert sys.prefix not in where
