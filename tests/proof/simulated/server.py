"""A shared filesystem as a pure function: what the server holds, and what it answers to one operation.

A state is a value and never changes. Every operation is atomic; the verbs of a disk (`disk`) are made of one or more of
them, and what clients and networks make of the answers is in `clients`. Files are named by inode numbers that the
caller chooses, so that a state does not depend on the order of unrelated creations.
"""

import errno
from typing import Any, NamedTuple

Operation = tuple[Any, ...]
"""The verb and its arguments: ("link", source, target)."""

MISSING = 0
PRIVATE = ".mpt-"


class File(NamedTuple):
    """`kind` as in `Stamp`; `synced` is the part of the content that a power failure spares."""

    kind: str
    data: bytes = b""
    synced: bytes = b""


class Who(NamedTuple):
    """The caller of an operation: its machine, whose memory of names it shares, and itself (a thread, to be exact)."""

    machine: str
    process: int


class State(NamedTuple):
    """Everything that is shared. The mappings are never changed, only replaced.

    `names`: path -> inode. `files`: inode -> file. `seen`: (machine, path) -> inode, 0 for missing. `begun`: process ->
    the directory that it is listing and what was in it at the beginning. `listed`: (machine, directory) -> the listing
    that the client got last, and what was there when it began to repeat it. `copies`: operations in the network that
    will run once more.
    """

    names: dict[str, int]
    files: dict[int, File]
    seen: dict[tuple[str, str], int]
    begun: dict[int, tuple[str, frozenset[tuple[str, int]]]]
    listed: dict[tuple[str, str], tuple[frozenset[tuple[str, int]], frozenset[tuple[str, int]] | None]]
    copies: frozenset[Operation]

    def key(self) -> tuple[Any, ...]:
        """The state as a value that can be hashed."""
        return (*(frozenset(part.items()) for part in self[:5]), self.copies)


class Stat(NamedTuple):
    """What a look answers."""

    inode: int
    kind: str
    links: int
    size: int


EMPTY = State({}, {}, {}, {}, {}, frozenset())
CHANGES = frozenset({"create", "link", "rename", "unlink", "make directory", "remove tree"})
NEEDS_ROOM = frozenset({"create", "link", "write", "make directory"})


# -- one operation at the server


def apply(state: State, operation: Operation) -> tuple[State, Any, int]:
    """The state after it, the answer, and the errno if it was refused."""
    try:
        after, answer = _VERBS[operation[0]](state, *operation[1:])
    except Refused as refusal:
        return state, None, refusal.errno
    return after, answer, 0


class Refused(Exception):
    """The server says no."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def _need_parent(state: State, path: str) -> None:
    above = state.names.get(parent(path), MISSING)
    if parent(path) and (not above or state.files[above].kind != "directory"):
        raise Refused(errno.ENOTDIR if above else errno.ENOENT)


def _bind(state: State, path: str, inode: int, file: File | None = None) -> State:
    files = state.files if file is None else {**state.files, inode: file}
    return state._replace(names={**state.names, path: inode}, files=files)


def _unbind(state: State, *paths: str) -> State:
    names = {path: inode for path, inode in state.names.items() if path not in paths}
    return _drop_unnamed(state._replace(names=names), [state.names[path] for path in paths])


def _drop_unnamed(state: State, inodes: list[int]) -> State:
    bound = set(state.names.values())
    gone = {inode for inode in inodes if inode not in bound}
    return state._replace(files={inode: file for inode, file in state.files.items() if inode not in gone})


def _create(state: State, path: str, inode: int, kind: str = "file") -> tuple[State, Any]:
    if path in state.names:
        raise Refused(errno.EEXIST)
    _need_parent(state, path)
    return _bind(state, path, inode, File(kind)), None


def _link(state: State, source: str, target: str) -> tuple[State, Any]:
    inode = _existing(state, source)
    if state.files[inode].kind == "directory":
        raise Refused(errno.EPERM)
    if target in state.names:
        raise Refused(errno.EEXIST)
    _need_parent(state, target)
    return _bind(state, target, inode), None


def _rename(state: State, source: str, target: str) -> tuple[State, Any]:
    inode = _existing(state, source)
    _need_parent(state, target)
    there = state.names.get(target, MISSING)
    if there == inode:
        return state, None
    if there:
        _refuse_replacing(state, inode, there, target)
    names = {path: number for path, number in state.names.items() if path != source}
    names[target] = inode
    for path in [path for path in names if path.startswith(source + "/")]:
        names[target + path[len(source) :]] = names.pop(path)
    return _drop_unnamed(state._replace(names=names), [there] if there else []), None


def _refuse_replacing(state: State, inode: int, there: int, target: str) -> None:
    moved, replaced = state.files[inode].kind, state.files[there].kind
    if replaced == "directory" and moved != "directory":
        raise Refused(errno.EISDIR)
    if moved == "directory" and replaced != "directory":
        raise Refused(errno.ENOTDIR)
    if any(path.startswith(target + "/") for path in state.names):
        raise Refused(errno.ENOTEMPTY)


def _unlink(state: State, path: str) -> tuple[State, Any]:
    if state.files[_existing(state, path)].kind == "directory":
        raise Refused(errno.EISDIR)
    return _unbind(state, path), None


def _look(state: State, path: str) -> tuple[State, Any]:
    inode = state.names.get(path, MISSING)
    return state, stat(state, inode) if inode else None


def stat(state: State, inode: int) -> Stat:
    file = state.files[inode]
    return Stat(inode, file.kind, sum(bound == inode for bound in state.names.values()), len(file.data))


def _read(state: State, path: str) -> tuple[State, Any]:
    inode = state.names.get(path, MISSING)
    if inode and state.files[inode].kind != "file":
        raise Refused(errno.EINVAL)
    return state, state.files[inode].data if inode else None


def _write(state: State, inode: int, offset: int, data: bytes) -> tuple[State, Any]:
    if inode not in state.files:
        raise Refused(errno.ESTALE)
    file = state.files[inode]
    content = file.data[:offset] + data + file.data[offset + len(data) :]
    return state._replace(files={**state.files, inode: file._replace(data=content)}), stat(state, inode)


def _sync(state: State, path: str) -> tuple[State, Any]:
    inode = _existing(state, path)
    below = [number for name, number in state.names.items() if name == path or name.startswith(path + "/")]
    files = dict(state.files)
    for number in below:
        files[number] = files[number]._replace(synced=files[number].data)
    return state._replace(files=files), stat(state, inode)


def _sync_inode(state: State, inode: int) -> tuple[State, Any]:
    if inode not in state.files:
        raise Refused(errno.ESTALE)
    file = state.files[inode]
    return state._replace(files={**state.files, inode: file._replace(synced=file.data)}), stat(state, inode)


def _list(state: State, directory: str) -> tuple[State, Any]:
    if state.files[_existing(state, directory)].kind != "directory":
        raise Refused(errno.ENOTDIR)
    return state, with_kinds(state, entries_of(state, directory))


def entries_of(state: State, directory: str, *, blind: bool = False) -> frozenset[tuple[str, int]]:
    found = ((path.rpartition("/"), inode) for path, inode in state.names.items())
    return frozenset(
        (name, inode) for (above, _, name), inode in found
        if above == directory and not (blind and name.startswith(PRIVATE))
    )  # fmt: skip


def with_kinds(state: State, found: frozenset[tuple[str, int]]) -> tuple[tuple[str, int, str], ...]:
    """Names, inodes and kinds; the kind of what is gone by now is that of a file."""
    return tuple(sorted((name, inode, state.files.get(inode, File("file")).kind) for name, inode in found))


def _make_directory(state: State, path: str, inode: int) -> tuple[State, Any]:
    if path in state.names:
        if state.files[state.names[path]].kind != "directory":
            raise Refused(errno.EEXIST)
        return state, None
    return _bind(state, path, inode, File("directory")), None


def _remove_tree(state: State, path: str) -> tuple[State, Any]:
    below = [name for name in state.names if name == path or name.startswith(path + "/")]
    return _unbind(state, *below), None


def _existing(state: State, path: str) -> int:
    inode = state.names.get(path, MISSING)
    if not inode:
        raise Refused(errno.ENOENT)
    return inode


_VERBS = {
    "create": _create, "link": _link, "rename": _rename, "unlink": _unlink, "look": _look, "read": _read,
    "write": _write, "sync": _sync, "sync inode": _sync_inode, "list": _list, "make directory": _make_directory,
    "remove tree": _remove_tree,
}  # fmt: skip


def start(*directories: str) -> State:
    """A disk with these directories."""
    state = EMPTY
    for number, path in enumerate(directories, 1):
        state, _ = _make_directory(state, path, number)
    return state
