"""Write ``docs/images/terminal.svg`` from a real run of the demo; run by ``make pictures``."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "images" / "terminal.svg"
COLUMNS, LINES = 100, 60
COMMAND = "article-flows run demo --lake lake --recipe digest --base-url mock"
# The report shows three samples; the picture ends after the first.
_LAST_LINE = re.compile(r"^language: ")
_CONTROL = re.compile(r"\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r(?!\n)|\r\n|\n")
_FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def run_in_terminal(command: str) -> str:
    """Return what a command prints to a terminal, in a folder that is removed afterwards."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    program, *arguments = command.split()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(theirs)
        printed = io.BytesIO()
        # Linux reports the end of a terminal as an error (EIO).
        try:
            while piece := os.read(ours, 1 << 16):
                printed.write(piece)
        except OSError:
            pass
        finally:
            os.close(ours)
        if status := process.wait():
            raise SystemExit(f"{command}: exit status {status}\n{printed.getvalue().decode()}")
    return printed.getvalue().decode()


def final_screen(printed: str) -> list[str]:
    """Return the lines that stay on the screen: progress lines are overwritten by what follows."""
    lines, row, position = [""], 0, 0
    for match in _CONTROL.finditer(printed):
        lines[row] += printed[position : match.start()]
        position = match.end()
        match match.group():
            case "\x1b[1A":
                row = max(0, row - 1)
            case "\x1b[2K":
                lines[row] = ""
            case "\n" | "\r\n":
                row += 1
                lines[row:] = lines[row:] or [""]
    lines[row] += printed[position:]
    return [line.rstrip() for line in lines]


def picture(lines: list[str]) -> str:
    """Return the lines as an SVG that loads nothing."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop")
    # Rich's own format loads a font from the web.
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    plain = re.sub(r"font-family: Fira Code, monospace", f"font-family: {_FONTS}", plain)
    svg = console.export_svg(title="article-flows", code_format=plain, unique_id="terminal")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _plain(line: str) -> str:
    return Text.from_ansi(line).plain


def main() -> None:
    """Run the demo and write its picture."""
    lines = final_screen(run_in_terminal(COMMAND))
    end = next(number for number, line in enumerate(lines) if _LAST_LINE.match(_plain(line)))
    shown = [f"\x1b[1;32m$\x1b[0m {COMMAND}", *lines[: end + 1], "…"]
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(shown), encoding="utf-8")


if __name__ == "__main__":
    main()
