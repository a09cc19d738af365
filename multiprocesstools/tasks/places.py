"""Which source a place has: a run directory, or the url of a server."""

from typing import TYPE_CHECKING, Any

from multiprocesstools.tasks.source import Source, Wishes

if TYPE_CHECKING:
    from multiprocesstools.tasks.store import TaskStore


def is_url(place: object) -> bool:
    return isinstance(place, str) and place.lower().startswith(("http://", "https://"))


def open_source(place: Any, store: "TaskStore", wishes: Wishes) -> Source:
    """The source of a run directory or of a url. Nothing is touched before it is entered."""
    if is_url(place):
        from multiprocesstools.tasks.remote import RemoteSource

        return RemoteSource(place, store, wishes)
    from multiprocesstools.tasks.files import FileSource

    return FileSource(place, store, wishes)
