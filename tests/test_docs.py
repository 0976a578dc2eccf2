"""The documentation agrees with the code: links, files, commands, options, targets, pictures."""

import contextlib
import io
import itertools
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cyclopts import CycloptsError

from article_flows.flows.cli.app import app
from article_flows.tasks.mock_endpoint.__main__ import main as endpoint
from docs import generate_cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "examples" / "README.md",
    *sorted(DOCS.glob("*.md")),
]
# The changelog also names removed files.
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
PICTURES = sorted((DOCS / "images").glob("*.svg"))
COMMANDS = [name for name in app if not name.startswith("-")]

_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"(flows|tasks|tests|docs|data|examples|benchmarks|article_flows)/[\w./-]*")
_DEFINED_IN = re.compile(r"`([A-Za-z_][\w.]*)(?:\(\))?`\s\(`((?:flows|tasks)/[\w/]+\.py)`")
_STANDARD_INPUT = "/dev/stdin"


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _prose(page: Path) -> str:
    return _FENCE.sub("", _text(page))


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def _shell_lines() -> Iterator[tuple[str, str]]:
    """Yield the lines of all shell blocks, each with the name of its page."""
    for page in PAGES:
        for block in _SHELL.findall(_text(page)):
            for line in block.replace("\\\n", " ").splitlines():
                yield page.name, line.strip()


def _commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the arguments of every `article-flows` in a shell block."""
    for page, line in _shell_lines():
        words = shlex.split(line, comments=True)
        ends = [place for place, word in enumerate(words) if word in ("|", "&", "&&", ";", ">")]
        for start, end in itertools.pairwise([-1, *ends, len(words)]):
            if words[start + 1 : start + 2] == ["article-flows"]:
                yield page, words[start + 2 : end]


def _endpoint_help() -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        endpoint(["--help"])
    return printed.getvalue()


def _options(command: str) -> set[str]:
    if command == "endpoint":
        return set(re.findall(r"--[a-z][a-z-]*", _endpoint_help()))
    arguments = app[command].assemble_argument_collection()
    return {name for each in arguments for name in each.names if name.startswith("--")}


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_point_to_existing_files_and_headings(page: Path) -> None:
    for target in _LINK.findall(_prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in _anchors(linked), target


@pytest.mark.parametrize("page", CURRENT, ids=_id)
def test_named_files_of_the_repository_exist(page: Path) -> None:
    for code in _CODE.findall(_prose(page)):
        if _FILE.fullmatch(code):
            assert (ROOT / code).exists(), code


def test_the_gateway_files_of_the_internals_exist() -> None:
    table = _text(DOCS / "internals.md").partition("| file in `tasks/llm/` |")[2]
    rows = re.findall(r"^\| (`.+?) \|", table.partition("\n\n")[0], re.MULTILINE)
    files = [name for row in rows for name in _CODE.findall(row)]
    assert files
    for name in files:
        assert (ROOT / "tasks" / "llm" / name).exists(), name


def test_names_of_the_internals_are_defined_in_the_files_beside_them() -> None:
    named = _DEFINED_IN.findall(_prose(DOCS / "internals.md"))
    assert len(named) > 10
    for name, file in named:
        last = name.rpartition(".")[2]
        defined = rf"^\s*(?:async def|def|class) {last}\b|^{last}\b.* = "
        assert re.search(defined, _text(ROOT / file), re.MULTILINE), f"{name} in {file}"


def test_the_command_line_page_is_up_to_date() -> None:
    assert _text(generate_cli.PAGE) == generate_cli.page(), "run `make docs` and commit the page"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_page_has_every_option(command: str) -> None:
    page = _text(generate_cli.PAGE)
    section = page.partition(f"\n## article-flows {command}\n")[2].partition("\n## ")[0]
    assert section
    for option in _options(command):
        assert option in section, option


def test_commands_in_the_documentation_are_accepted() -> None:
    shown = list(_commands())
    assert len(shown) > 20
    for page, arguments in shown:
        where = f"{page}: article-flows {shlex.join(arguments)}"
        assert arguments, where
        assert arguments[0] in [*COMMANDS, "--version", "--help"], where
        if arguments[0] == "endpoint":
            used = {word for word in arguments if word.startswith("--")}
            assert used <= _options("endpoint"), where
            continue
        given = [_STANDARD_INPUT if each == "-" else each for each in arguments]
        try:
            app.parse_args(given, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            pytest.fail(f"{where}: {error}")


@pytest.mark.parametrize("page", CURRENT, ids=_id)
def test_options_in_the_text_exist(page: Path) -> None:
    known = {option for command in COMMANDS for option in _options(command)}
    for code in _CODE.findall(_prose(page)):
        for option in re.findall(r"(?:^|(?<=article-flows ))--[a-z][a-z-]*", code):
            assert option in known | {"--help", "--version"}, option


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", _text(ROOT / "Makefile"), re.MULTILINE))
    named = {line.split()[1] for _, line in _shell_lines() if line.startswith("make ")}
    for page in PAGES:
        named |= set(re.findall(r"`make ([a-z-]+)", _prose(page)))
    assert named <= targets


def test_the_site_has_every_page() -> None:
    # Tags such as !!python/name would need MkDocs' own loader.
    nav = yaml.safe_load(_text(ROOT / "mkdocs.yml"))["nav"]
    pages = {page for section in nav for entry in section.values() for page in _files(entry)}
    assert pages == {path.name for path in DOCS.glob("*.md")}


def _files(entry: list[dict[str, str]]) -> list[str]:
    return [name for page in entry for name in page.values()]


def test_the_examples_page_includes_every_example() -> None:
    page = _text(DOCS / "examples.md")
    included = re.findall(r"^--8<--\n(\S+)\n--8<--$", page, re.MULTILINE)
    examples = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "examples").rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    assert set(included) == examples


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_pictures_load_nothing_and_contain_no_host_name(picture: Path) -> None:
    svg = _text(picture)
    assert not re.search(r"(?:href|src)=[\"']|url\([\"']?http|@import", svg)
    assert not re.search(r"(?<!\w)/(?:home|root|work|tmp|Users)/", svg)
    assert socket.gethostname() not in svg
