"""Messages: what comes back the same, and what is refused."""

import gzip
import xmlrpc.client
from typing import Any

import pytest

from multiprocesstools.tasks import wire

VALUES = [
    None, True, 0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 10**100, -(10**100), 0.1, float("inf"), "",
    "ä<&>]]>", b"", b"\0\xff",
    [None, [1, [2]]], {"a": {"b": [None]}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_the_same(value: Any) -> None:
    assert wire.read_answer(wire.answer(value)) == value
    assert wire.read_call(wire.call("method", (value, 1))) == ("method", (value, 1))


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_standard_library_reads_what_is_written(value: Any) -> None:
    (found,), _ = xmlrpc.client.loads(wire.answer(value), use_builtin_types=True)
    assert found == value


def test_numpy_scalars_and_arrays_travel_in_parcels() -> None:
    import numpy

    from multiprocesstools.tasks.parcel import Parcel, decode

    parcel = Parcel("Store")
    parcel.add(3, numpy.float32(0.5))
    parcel.add(4, {"a": numpy.arange(6).reshape(2, 3), "b": numpy.int64(2**40)})
    _, indices, (scalar, mixed) = decode(wire.read_answer(wire.answer(parcel.encode())))
    assert (indices, scalar, mixed["b"]) == ([3, 4], 0.5, 2**40)
    numpy.testing.assert_array_equal(mixed["a"], numpy.arange(6).reshape(2, 3))


def test_characters_that_xml_cannot_hold_become_replacements() -> None:
    assert wire.read_answer(wire.answer("a\x00b\x1b[31m\udcff")) == "a\ufffdb\ufffd[31m\ufffd"


def test_a_fault_has_its_code_and_words() -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        wire.read_answer(wire.fault(2, "no <room>"))
    assert (caught.value.faultCode, caught.value.faultString) == (2, "no <room>")


BOMB = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
NESTED = b"<value><array><data>" * 500 + b"</data></array></value>" * 500
ONE_VALUE = b"<methodCall><methodName>m</methodName><params><param>%s</param></params></methodCall>"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"no xml", b"<methodCall>", b"<a><b></a></b>", wire.answer(1),
        BOMB + ONE_VALUE % b"<value>&b;</value>", ONE_VALUE % NESTED, ONE_VALUE % b"<value><int>x</int></value>",
        ONE_VALUE % b"<value><base64>\xff</base64></value>", ONE_VALUE % b"<value><what>1</what></value>",
        ONE_VALUE % (b"<value><int>" + b"9" * 10_000 + b"</int></value>"),
        b"<methodCall><params></params></methodCall>",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data: bytes) -> None:
    assert wire.read_call(ONE_VALUE % b"<value><int>1</int></value>") == ("m", (1,))
    with pytest.raises(wire.Malformed):
        wire.read_call(data)


def test_a_bomb_is_not_unpacked_further_than_allowed() -> None:
    assert wire.unpacked(gzip.compress(b"x" * 1000), 1000) == b"x" * 1000
    with pytest.raises(wire.Malformed, match="more than 1,000 bytes"):
        wire.unpacked(gzip.compress(b"\0" * 100_000_000), 1000)


@pytest.mark.parametrize("data", [b"", b"no gzip", gzip.compress(b"whole")[:-4], gzip.compress(b"one") * 2])
def test_what_is_no_whole_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(wire.Malformed, match="gzip"):
        wire.unpacked(data, 1000)
