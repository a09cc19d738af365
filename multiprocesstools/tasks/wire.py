"""What travels between a server and its workers: XML-RPC as xmlrpc.client speaks it, with any integers and None.

    int      <int> up to 32 bits, <i8> up to 64, <biginteger> beyond: all of them are read by xmlrpc.client
    None     <nil/>
    bytes    <base64>: a parcel (see `parcel`), which is how numpy's scalars and arrays travel; or one .npy

Guarantee: reading a message makes numbers, texts, lists, dicts, bytes and dates, and runs nothing; no more is ever
unpacked than was allowed. A document type, with which small messages grow large, is refused, and so is deep nesting.
Condition: characters that XML cannot hold travel as U+FFFD, so results that may have some go in a parcel.
"""

import re
import zlib
from collections.abc import Callable
from typing import Any
from xml.parsers import expat
from xmlrpc import client

MOST_DEPTH = 200
REFUSED, TRY_AGAIN, BROKEN = 1, 2, 3
"""Codes of faults: the caller's mistake; the disk's, or a moment's; a mistake in the server or in the store."""

_GZIP = 31
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Malformed(ValueError):
    """Bytes that are no message, and why."""


class _Marshaller(client.Marshaller):
    dispatch = dict(client.Marshaller.dispatch)  # noqa: RUF012 - it is only read

    def dump_any_int(self, value: int, write: Callable[[str], object]) -> None:
        bits = value.bit_length()
        tag = "int" if bits < 32 else "i8" if bits < 64 else "biginteger"
        write(f"<value><{tag}>{int(value)}</{tag}></value>\n")

    def dump_clean_text(self, value: str, write: Callable[[str], object]) -> None:
        write(f"<value><string>{client.escape(_NO_XML.sub(chr(0xFFFD), value))}</string></value>\n")

    dispatch[int] = dump_any_int  # type: ignore[assignment]
    dispatch[str] = dump_clean_text  # type: ignore[assignment]


def call(method: str, arguments: tuple[Any, ...]) -> bytes:
    """A request."""
    return _message("methodCall", f"<methodName>{method}</methodName>\n{_marshalled(arguments)}")


def answer(value: Any) -> bytes:
    """What a method has returned."""
    return _message("methodResponse", _marshalled((value,)))


def fault(code: int, text: str) -> bytes:
    """That it was refused, and why."""
    return _message("methodResponse", _marshalled(client.Fault(code, text)))


def read_call(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """The method and the arguments of a request. Malformed."""
    method, arguments = _read(data)
    if not method:
        raise Malformed("it names no method")
    return method, arguments


def read_answer(data: bytes) -> Any:
    """The value of an answer. Malformed; xmlrpc.client.Fault."""
    values = _read(data)[1]
    if len(values) != 1:
        raise Malformed(f"it holds {len(values)} values in place of one")
    return values[0]


def unpacked(data: bytes, most_bytes: int) -> bytes:
    """The content of a gzip, which is never unpacked further than `most_bytes`. Malformed."""
    machine = zlib.decompressobj(_GZIP)
    try:
        content = machine.decompress(data, most_bytes + 1)
    except zlib.error as error:
        raise Malformed(f"it is no gzip ({error})") from error
    if len(content) > most_bytes:
        raise Malformed(f"it holds more than {most_bytes:,} bytes when it is unpacked")
    if not machine.eof or machine.unused_data:
        raise Malformed("it is no whole gzip")
    return content


def _marshalled(values: Any) -> str:
    body: str = _Marshaller("utf-8", True).dumps(values)
    return body


def _message(kind: str, body: str) -> bytes:
    return f"<?xml version='1.0'?>\n<{kind}>\n{body}</{kind}>\n".encode()


def _read(data: bytes) -> tuple[str | None, tuple[Any, ...]]:
    target = client.Unmarshaller(use_builtin_types=True)
    try:
        _parser(target).Parse(data, True)
        values = target.close()
    except (Malformed, client.Fault):
        raise
    except Exception as error:  # the standard library's reader raises whatever its lists and conversions do
        raise Malformed(f"it is no XML-RPC ({type(error).__name__}: {error})") from error
    return target.getmethodname(), tuple(values)


def _parser(target: client.Unmarshaller) -> Any:
    parser, depth = expat.ParserCreate(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_DEPTH:
            raise Malformed(f"it is nested more than {MOST_DEPTH} deep")
        target.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        target.end(tag)

    def refuse(*declaration: Any) -> None:
        raise Malformed("it declares a document type")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = target.data, refuse
    target.xml("", None)  # expat decodes
    return parser
