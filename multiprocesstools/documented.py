"""The calls and attributes of MultiProcessTools, as methods of the helper: directories, placeholders, loggers.

In this style the caller writes the final itself, in place (`inplace` says what that means).
"""

import os
from typing import Any

from multiprocesstools.claims.slots import Slot, check_name
from multiprocesstools.crew.crew import Crew
from multiprocesstools.directories import Directories
from multiprocesstools.errors import BadArgument


class DocumentedStyle:
    """The part of `MultiProcessHelper` that the original toolkit documents."""

    def __init__(self, crew: Crew, directories: Directories) -> None:
        from multiprocesstools.items.inplace import InPlace

        self._crew, self._directories, self._inplace = crew, directories, InPlace(crew)

    @property
    def instance_number(self) -> int:
        return self._crew.latest_member.instance.record.number

    @property
    def loggers(self) -> dict[str, Any]:
        """The loggers that write to the log file of this instance, by name."""
        return self._crew.latest_member.log.loggers

    # -- directories

    @property
    def directories(self) -> dict[str, str]:
        """The known directories: name -> path."""
        return self._directories.by_name

    def create_directory(self, name: str) -> str:
        """Make a directory inside the working directory; its path. One that is there is fine."""
        return self._directories.create(name)

    def get_directory(self, name: str | os.PathLike[str]) -> str:
        """The path of a directory that is there, by its name or its path. BadArgument if there is none."""
        return self._directories.get(name)

    # -- the documented style: the caller writes the final in place

    def create_temp_file(self, final_file_name: str, temp_file_name: str, path: str | os.PathLike[str]) -> bool:
        """Claim `final_file_name` in the directory `path` and make the placeholder `temp_file_name` beside it.

        False: it is done, set aside, in other hands, or the placeholder belongs to another program. While the run is
        paused it waits.
        """
        directory = self.get_directory(path)
        check_name(final_file_name), check_name(temp_file_name)
        slot = Slot(self._directories.make_open(directory, in_place=True), final_file_name)
        return self._inplace.create(self._directories.in_chunk(slot), temp_file_name)

    def delete_tempfile(
        self, full_path: str | os.PathLike[str] | None = None, path: str | os.PathLike[str] | None = None, *,
        temp_file_name: str | None = None,
    ) -> None:  # fmt: skip
        """End what `create_temp_file` began, by `temp_file_name` and `path` or by the full path of the placeholder.

        Called after success it publishes the final; called while an exception is handled, or without a final, it
        frees the item. ClaimLost: another instance has the item. BadArgument: no placeholder of this instance.
        """
        name = temp_file_name if temp_file_name is not None else full_path
        if name is None:
            raise BadArgument("temp_file_name", None, "give temp_file_name= and path=, or the full path")
        text = os.fspath(name)
        folder, file_name = (self.get_directory(path), text) if path is not None else os.path.split(text)
        self._inplace.delete(f"{os.path.realpath(folder)}/{file_name}")

    def delete_all_tempfiles(self) -> None:
        """End everything that `create_temp_file` began in this instance."""
        for placeholder in self.tempfiles:
            self._inplace.delete(placeholder)

    @property
    def tempfiles(self) -> list[str]:
        """The placeholders that this instance has now."""
        return self._inplace.placeholders()

    @property
    def finished(self) -> list[str]:
        """The finals that this instance finished in the documented style."""
        return list(self._inplace.finished)

    def close_all_loggers(self) -> None:
        """Close the log file of this instance and detach its loggers."""
        self._crew.latest_member.log.close()
