"""The log for TensorBoard."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from unrolled.files import GrowingFile


class TensorBoardLog:
    """Numbers as an event file of TensorBoard, written in the thread that logs them.

    The writers of tensorboardX and of torch hand events to a thread of their own through a queue;
    if that thread dies, of a full disk, the next to log waits for it for ever. Here nothing waits.

    Args:
        folder: Where to put the file; created with the first number.
        last_step: TensorBoard hides what an earlier process logged after this step.
    """

    def __init__(self, folder: Path, last_step: int) -> None:
        self.folder, self._last_step = folder, last_step
        # By its number the process is told from one that began in the same second.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._file = GrowingFile(folder / name)
        self._begun = False

    def append(self, numbers: Mapping[str, float], step: int) -> None:
        """Write numbers by their names.

        Raises:
            OSError: They cannot be written.
        """
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        now = time.time()
        events = [Event(wall_time=now, step=step, summary=scalar(*one)) for one in numbers.items()]
        if not self._begun:
            start = SessionLog(status=SessionLog.START)
            events = [
                Event(wall_time=now, file_version="brain.Event:2"),
                Event(wall_time=now, step=self._last_step + 1, session_log=start),
                *events,
            ]
            self.folder.mkdir(exist_ok=True)
            self._begun = True
        self._file.append(b"".join(_record(event.SerializeToString()) for event in events))

    def flush(self) -> None:
        """Write what is still to be written.

        Raises:
            OSError: It cannot be written.
        """
        self._file.append(b"")


def _record(content: bytes) -> bytes:
    """A record of an event file: length and content, each followed by its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(content))
    parts = (length, masked_crc32c(length), content, masked_crc32c(content))
    return b"".join(p if isinstance(p, bytes) else struct.pack("<I", p) for p in parts)
