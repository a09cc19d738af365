"""A process whose inputs come from URLs, and whose outputs go to URLs: file, http, s3, ... whatever fsspec knows.

Guarantee: on this machine's filesystems an output is there whole or not at all. Condition: elsewhere it is as the store
has it; object stores do the same. To http it is sent by PUT. Fetching and storing are hooks: other processes begin only
after them, so that what takes minutes is better done by the script.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import BadOutput, NoExtra
from multiprocesstools.workers.process import Process

_SILENT_SECONDS = 60.0
Urls = str | Mapping[str, str]


class UrlProcess(Process):
    """`inputs`: one URL, whose bytes are the stdin of the script; or {name: URL}: the bytes are put into the `input`
    dict by these names. `outputs`: one URL, to which its stdout is written; or {name: URL}: the values of its output
    dict by these names, bytes or text, are written there, and the others stay in `output`.

    `options` are those of the filesystem of fsspec (credentials, timeouts); by default a server of http may take as
    long as it likes, and be silent for a minute. Override `fetch` and `store` for others.
    """

    def __init__(
        self, script: str | os.PathLike[str], input: Any = None, *, inputs: Urls | None = None,
        outputs: Urls | None = None, options: Mapping[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(script, input, **more)
        self.inputs, self.outputs, self.options = inputs, outputs, dict(options or {})

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL. What fsspec raises: FileNotFoundError, OSError, ValueError for an unknown protocol."""
        return fetch(url, **self.options)

    def store(self, url: str, data: bytes) -> None:
        """Write bytes to a URL. What fsspec raises."""
        store(url, data, **self.options)

    def prepare_process_input(self) -> bytes:
        if isinstance(self.inputs, str):
            return self.fetch(self.inputs)
        if self.inputs:
            self.input = {**self.input, **{name: self.fetch(url) for name, url in self.inputs.items()}}
        return super().prepare_process_input()

    def use_process_output(self, output: bytes) -> None:
        if isinstance(self.outputs, str):
            return self.store(self.outputs, output)
        super().use_process_output(output)
        for name, url in (self.outputs or {}).items():
            self.store(url, self._taken(name, output))

    def _taken(self, name: str, output: bytes) -> bytes:
        """BadOutput if there is no such value, or if it is neither bytes nor text."""
        if not isinstance(self.output, dict) or name not in self.output:
            raise BadOutput(output[:200], len(output), f"it has no {name!r}, which is to be stored")
        value = self.output.pop(name)
        if isinstance(value, str):
            return value.encode()
        if not isinstance(value, bytes | bytearray | memoryview):
            reason = f"{name!r} is of type {kind(value)}, and bytes or text can be stored"
            raise BadOutput(output[:200], len(output), reason)
        return bytes(value)


def fetch(url: str, **options: Any) -> bytes:
    """The bytes at a URL, or in the file of a path."""
    system, path = _system(url, options)
    with _named(url):
        data: bytes = system.cat_file(path)
        return data


def store(url: str, data: bytes, **options: Any) -> None:
    """Write bytes to a URL; its folders are made."""
    system, path = _system(url, options)
    with _named(url):
        _store(system, path, data)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """A timeout says by itself neither what it is nor where."""
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(f"timeout: no answer from {url}") from error


def _store(system: Any, path: str, data: bytes) -> None:
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if "http" in protocols:
        _put(system, path, data)
    elif "file" in protocols:
        _write(path, data)
    else:
        system.pipe_file(path, data)


def _system(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise NoExtra("URLs", "urls") from error
    if url.startswith(("http://", "https://")):
        options = {**options, "client_kwargs": {**_patience(), **options.get("client_kwargs", {})}}
    system, path = url_to_fs(url, **options)
    return system, path


def _patience() -> dict[str, Any]:
    """Of aiohttp, which by itself gives any transfer five minutes, and a silent server as long."""
    from aiohttp import ClientTimeout  # type: ignore[import-not-found, unused-ignore]

    return {"timeout": ClientTimeout(total=None, sock_connect=_SILENT_SECONDS, sock_read=_SILENT_SECONDS)}


def _put(system: Any, path: str, data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        system.put_file(file.name, path, method="put")


def _write(path: str, data: bytes) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _umask() -> int:
    """What this process takes away from new files (Linux: proc(5); elsewhere what is usual)."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))
    except (OSError, StopIteration):
        return 0o022
