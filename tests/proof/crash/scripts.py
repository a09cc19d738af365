"""What a process does when it is struck, and what others have done before.

A script is run by the process that is struck (the child) and then, unarmed, by an ordinary one (the peer). Whatever it
writes, it writes by single calls of `os`, so that an output can be half written.
"""

import logging
import os
from pathlib import Path
from typing import Any

from multiprocesstools.run.directory import Run
from multiprocesstools.run.requests import STOP, request
from multiprocesstools.upkeep.retry import retry
from multiprocesstools.upkeep.sweeper import clean_up
from tests.proof.crash.place import CAUSE, Place, die, write

# -- scripts


def start(place: Place) -> None:
    with place.armed():
        loop = place.items()
        logging.getLogger("crash").warning("begun")
    for item in loop:
        with place.work(item):
            write(item.path)


def files(place: Place) -> None:
    loop = place.items()
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.path)


def chunked(place: Place) -> None:
    """Both items are one chunk."""
    loop = place.items(chunk=2)
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.path)


def directories(place: Place) -> None:
    loop = place.items(final="{value}.zarr")
    with place.armed():
        for item in loop:
            with place.work(item):
                os.mkdir(item.path)
                os.mkdir(item.path / "deep")
                write(item.path / "one")
                write(item.path / "deep" / "two")


def folders(place: Place) -> None:
    """The work chooses the name of its output in a private directory."""
    loop = place.items("a")
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.folder / "any name")


def several_files(place: Place) -> None:
    loop = place.items(final=["logs/{value}.log", "tables/{value}.txt"], directory=None)
    with place.armed():
        for item in loop:
            with place.work(item):
                for path in item.paths:
                    write(path)


def failing(place: Place) -> None:
    loop = place.items()
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.path, halves=1 if item.source == "a" else 2)
                if item.source == "a":
                    raise ValueError(CAUSE)


def marked(place: Place) -> None:
    """One item is skipped, one is marked as failed for good, one is dropped by the child."""
    loop = place.items("abc")
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.path)
                if item.source == "a":
                    item.skip("nothing to write")
                elif item.source == "b":
                    item.fail(CAUSE, retry=False)
                elif place.is_child:
                    item.drop()


def dropped_and_taken_again(place: Place) -> None:
    """Two loops of one helper: the second is offered what the first dropped."""
    for drops in (place.is_child, False):
        loop = place.items()
        with place.armed():
            for item in loop:
                with place.work(item):
                    write(item.path)
                    if drops:
                        item.drop()


def single(place: Place) -> None:
    mph = place.helper()
    with place.armed():
        item = mph.claim("a.txt", directory="out")
        if item is not None:
            with place.work(item):
                write(item.path)


def once(place: Place) -> None:
    def build(path: Path) -> None:
        place.begin("total.csv")
        write(path)

    mph = place.helper()
    with place.armed():
        mph.once("total.csv", build)


def in_place(place: Place) -> None:
    """The documented style, as the README has it; the child fails at its second item."""
    mph = place.helper()
    mph.create_directory("direct")
    with place.armed():
        for name in "ab":
            if mph.create_temp_file(final_file_name=f"{name}.csv", temp_file_name=f"{name}.tmp", path="direct"):
                place.begin(f"{name}.csv")
                try:
                    write(f"{mph.get_directory('direct')}/{name}.csv")
                    if place.is_child and name == "b":
                        raise ValueError("the child fails here")
                    mph.delete_tempfile(temp_file_name=f"{name}.tmp", path="direct")
                except ValueError:
                    mph.delete_tempfile(temp_file_name=f"{name}.tmp", path="direct")
                except BaseException:
                    mph.delete_tempfile(temp_file_name=f"{name}.tmp", path="direct")
                    raise


def leaving(place: Place) -> None:
    """The end of a helper that holds an item and writes another one in place."""
    mph = place.helper()
    if not place.is_child:
        single(place), in_place(place)
        return
    mph.create_directory("direct")
    write(mph.claim("a.txt", directory="out").path, halves=1)  # type: ignore[union-attr]
    mph.create_temp_file(final_file_name="a.csv", temp_file_name="a.tmp", path="direct")
    write(place.run / "direct" / "a.csv", halves=1)
    with place.armed():
        mph.cleanup()


def beating(place: Place) -> None:
    """What the heart does at each beat, with an item in hand."""
    mph = place.helper()
    for item in place.items("a"):
        with place.work(item):
            write(item.path)
            with place.armed():
                mph._crew.member()._tend()


def expelled(place: Place) -> None:
    """Somebody who took this process for dead has removed its record; it joins anew."""
    loop = place.items()
    if place.is_child:
        own = place.helper()._crew.member().instance
        os.unlink(own.path)
        own.beat()
    with place.armed():
        for item in loop:
            with place.work(item):
                write(item.path)


def new_settings(place: Place) -> None:
    with place.armed():
        place.helper(max_attempts=5)
    files(place)


def sweeping(place: Place) -> None:
    if not place.is_child:
        for item in place.items("abcd"):
            with place.work(item):
                write(item.path)
        in_place(place)
        return
    with place.armed():
        clean_up(Run(place.run), observe=lambda seconds, report: None)


def retrying(place: Place) -> None:
    """By the command. A peer then does what is free."""
    if not place.is_child:
        files(place)
        return
    with place.armed():
        retry(Run(place.run))


def retrying_in_the_loop(place: Place) -> None:
    place.helper()
    with place.armed():
        for item in place.items(retry_failed=True):
            with place.work(item):
                write(item.path)


def stopping(place: Place) -> None:
    if place.is_child:
        with place.armed():
            request(Run(place.run).find(), STOP)
    files(place)


# -- who has been there before


def killed_at_work(place: Place) -> None:
    for item in place.items():
        with place.work(item):
            write(item.path, halves=1)
            die()


def killed_in_a_chunk(place: Place) -> None:
    for item in place.items(chunk=2):
        with place.work(item):
            write(item.path, halves=1)
            die()


def killed_in_place(place: Place) -> None:
    mph = place.helper()
    mph.create_directory("direct")
    mph.create_temp_file(final_file_name="a.csv", temp_file_name="a.tmp", path="direct")
    write(place.run / "direct" / "a.csv", halves=1)
    die()


def dropped(place: Place) -> None:
    for item in place.items("b"):
        with item:
            item.drop()


def killed_after_publishing(place: Place) -> None:
    """The final is there, and so are the claims and the staging file."""
    real = os.link

    def link(source: str, target: str, **named: Any) -> None:
        real(source, target, **named)
        if target.endswith("/b.txt"):
            die()

    os.link = link  # type: ignore[assignment]
    for item in place.items("b"):
        with item:
            write(item.path)


def failed_for_good(place: Place) -> None:
    for item in place.items("d"):
        with item:
            item.fail(CAUSE, retry=False)


def failed_until_set_aside(place: Place) -> None:
    for item in place.items():
        with item:
            if item.source == "a":
                raise ValueError(CAUSE)
            write(item.path)


def killed_with_a_claim(place: Place) -> None:
    place.helper().claim("c.txt", directory="out")
    die()
