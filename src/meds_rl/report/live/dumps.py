"""Follows the rollouts of another program while it writes them: each look converts the new files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from meds_rl.report.live.follow import Follower, Stamp, stamp_of
from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.convert import Conversion
from meds_rl.rollouts.dumps import Dump, find_sources
from meds_rl.rollouts.evaluations import without_evaluations
from meds_rl.rollouts.table import RunFolderError

REST = 10.0
"""Seconds after its last change at which a file counts as whole, if no later one exists."""

MAX_NAMED = 10
"""Folders that an error names."""


class DumpFollower(Follower):
    """What was read so far of the rollouts that another program writes.

    Args:
        path: the folder that it writes to, or a file.
        options: what the user says about them.
        folder: an empty folder, for the rollouts in the form of a run folder.
        rest: seconds for which the newest file must not have changed before it is read; it may be half written.

    Raises:
        RunFolderError: nothing is recognised, or something needed is missing.
    """

    done_at = 0  # the program's own numbers are shown

    def __init__(self, path: str, options: ReadOptions, folder: Path, rest: float = 0.0) -> None:
        super().__init__(folder / "run")
        self._source, self._options, self._rest = path, options, rest
        self._conversion: Conversion | None = None
        self._stamps: dict[Path, Stamp] = {}
        self.path = Path(path)
        self.notes: list[str] = []
        self._left_out: list[str] = []

    @property
    def has_ended(self) -> bool:
        """Never known: other programs do not say so."""
        return False

    def poll(self, seconds: float = 2.0, clock: Callable[[], float] = time.monotonic) -> bool:
        """Convert the new files, then read what is new as of a run. A file that changed is read again, with all."""
        dump = self._dump()
        if dump is not None:
            self._convert(dump)
        return super().poll(seconds, clock)

    def _dump(self) -> Dump | None:
        """The dump as it is now; None before its first file."""
        try:
            found, self._left_out = without_evaluations(find_sources([self._source]))
        except RunFolderError:
            return None
        dumps = [source for source in found if isinstance(source, Dump)]
        if len(dumps) > 1:
            names = ", ".join(str(dump.path) for dump in dumps[:MAX_NAMED]) + (", …" if len(dumps) > MAX_NAMED else "")
            raise RunFolderError(f"{self._source} leads to {len(dumps)} folders of rollouts; watch one: {names}.")
        return dumps[0] if dumps else None

    def _convert(self, dump: Dump) -> None:
        stamps = {path: stamp for path in dump.files if (stamp := stamp_of(path)) is not None and stamp[2] > 0}
        newest = max((changed for _, changed, _ in stamps.values()), default=0)
        if newest / 1e9 > time.time() - self._rest:
            stamps = {path: stamp for path, stamp in stamps.items() if path in self._stamps or stamp[1] < newest}
        if any(stamps.get(path) != stamp for path, stamp in self._stamps.items()):
            shutil.rmtree(self.folder.path)
            self._stamps, self._conversion = {}, None
        new = [path for path in stamps if path not in self._stamps]
        if not new:
            return
        if self._conversion is None:
            self._conversion = Conversion(dump, self._options, self.folder.path)
        try:
            self._conversion.add(new)
            self._conversion.write()
        except BaseException:  # a part was read: the next look starts again
            shutil.rmtree(self.folder.path, ignore_errors=True)
            self._stamps, self._conversion = {}, None
            raise
        self._stamps = stamps
        self.notes = [*(self.folder.source or {}).get("notes", []), *self._left_out]
