"""Feather of version 1, read by a process of its own: of a damaged file Arrow aborts.

Its metadata are not checked before they are used, as those of all newer formats are.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from tasks.errors import UserError

MAX_FEATHER_1 = 200 << 20
"""Bytes of the largest file taken: this version can only be read whole."""
_TO_STREAM = """
import sys
import pyarrow as pa
from pyarrow import feather
table = feather.read_table(sys.stdin.buffer, memory_map=False)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
    writer.write_table(table, max_chunksize=1000)
"""


def feather_1_batches(file: BinaryIO, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Feather 1 file; raise UserError if it is too large.

    Raises:
        pa.ArrowInvalid: it is damaged.
    """
    with tempfile.TemporaryFile() as copy:
        while block := file.read(1 << 20):
            copy.write(block)
            if copy.tell() > MAX_FEATHER_1:
                raise UserError(
                    f"{name} is over {MAX_FEATHER_1 >> 20} MiB of Feather version 1, which can "
                    "only be read whole; convert it to Parquet"
                )
        copy.seek(0)
        command = [sys.executable, "-I", "-W", "ignore", "-c", _TO_STREAM]
        with subprocess.Popen(
            command, stdin=copy, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            try:
                with pa.ipc.open_stream(child.stdout) as reader:
                    yield from reader
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid("its metadata are damaged") from error
            finally:
                child.kill()
