"""A server as the source of partitions. (The skeleton of the room: whoever builds the server replaces it.)"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks.source import Assignment, Wishes

if TYPE_CHECKING:
    from multiprocesstools.tasks.store import TaskStore


class RemoteSource:
    """The partitions that a server hands out."""

    def __init__(self, url: str, store: "TaskStore", wishes: Wishes) -> None:
        self._url = url

    def __enter__(self) -> "RemoteSource":
        raise BadArgument("run_directory_or_url", self._url, "this version has no server: give a run directory")

    def __exit__(self, *error: Any) -> None:
        """Nothing was opened."""

    def assignments(self) -> Generator[Assignment, None, None]:
        yield from ()
