"""Arrays, meshes and volumes as bytes between a queue and its scripts, copied as little as can be.

    process = ArrayProcess("smooth.py", {"volume": image, "sigma": 2.0})       # here; then process.output

    run(over_arrays(smooth), raw=True)                                         # in smooth.py

`to_arrays` makes dicts of numpy arrays out of objects of VTK and SimpleITK, wherever they are in dicts, lists and
tuples, `from_arrays` makes them again; `dumps` and `loads` carry what contains arrays (pickle, protocol 5, PEP 574).

Guarantee: nothing is dropped silently: what cannot be carried is a CannotBeSent. `dumps` copies an array once, into the
bytes, `loads` never: its arrays lie in the bytes, read-only unless those are a bytearray. `to_arrays` copies nothing.
`from_arrays` copies for SimpleITK, and for VTK what is read-only. Condition: an array that is not contiguous is copied
once more. VTK and SimpleITK are imported only when there is something to be made of them. Bytes from somebody who may
not run programs here must not be loaded, as with any pickle.
"""

import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import BadOutput, CannotBeSent
from multiprocesstools.workers.process import Process

_PROTOCOL = 5
_MAGIC, _ALIGNMENT = b"mpt-arrays-1\n\0\0\0", 64
_HEAD = struct.Struct("<16sQ")  # the mark, and how many lengths follow: of the pickle, then of each buffer


class ArrayProcess(Process):
    """A `Process` whose input and output may hold arrays, and objects of VTK and SimpleITK.

    Its script calls `run(over_arrays(handler), raw=True)`.
    """

    def prepare_process_input(self) -> bytes:
        return dumps(to_arrays(self.input))

    def use_process_output(self, output: bytes) -> None:
        self.output = from_arrays(loads(output))


def over_arrays(handler: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """The handler for `run(..., raw=True)`: from bytes of `dumps` to bytes of `dumps`. Its arrays are read-only."""

    def handle(packed: bytes) -> bytes:
        return dumps(to_arrays(handler(from_arrays(loads(packed)))))

    return handle


# -- bytes


def dumps(value: Any) -> bytes:
    """The value as bytes: its pickle, and behind it the buffers of its arrays. CannotBeSent."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        stream = pickle.dumps(value, _PROTOCOL, buffer_callback=buffers.append)
    except Exception as error:
        raise CannotBeSent("value", kind(value), f"{type(error).__name__}: {error}") from error
    parts = [memoryview(stream), *(buffer.raw() for buffer in buffers)]
    lengths = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
    joined: list[bytes | memoryview] = [_HEAD.pack(_MAGIC, len(parts)), lengths]
    at = len(joined[0]) + len(lengths)
    for part in parts:
        joined += [bytes(-at % _ALIGNMENT), part]
        at += -at % _ALIGNMENT + part.nbytes
    return b"".join(joined)


def loads(packed: bytes | bytearray | memoryview) -> Any:
    """What `dumps` was given, its arrays as views of `packed`. BadOutput for anything else."""
    whole = memoryview(packed).cast("B")
    try:
        mark, count = _HEAD.unpack_from(whole)
        if mark != _MAGIC:
            raise ValueError("it does not begin like the bytes of transfer.dumps")
        stream, *buffers = _parts(whole, struct.unpack_from(f"<{count}Q", whole, _HEAD.size))
        return pickle.loads(stream, buffers=buffers)
    except Exception as error:
        raise BadOutput(bytes(whole[:200]), whole.nbytes, f"{type(error).__name__}: {error}") from error


def _parts(whole: memoryview, lengths: tuple[int, ...]) -> list[memoryview]:
    parts, at = [], _HEAD.size + 8 * len(lengths)
    for length in lengths:
        at += -at % _ALIGNMENT
        parts.append(whole[at : at + length])
        at += length
    if at != whole.nbytes:
        raise ValueError(f"{at:,} bytes were sent")
    return parts


# -- objects


def to_arrays(value: Any) -> Any:
    """The same with dicts of arrays in place of objects of VTK and SimpleITK; anything else stays as it is.

    A dict tells by "kind" what it was made from: "vtkPolyData", "vtkImageData" or "SimpleITK.Image". Arrays of volumes
    have the axes z, y, x. The arrays share the memory of the object, and keep it.
    """
    if type(value) in (dict, list, tuple):
        return _inside(to_arrays, value)
    module = type(value).__module__.partition(".")[0]
    if module == "SimpleITK" and type(value).__name__ == "Image":
        return _from_sitk(value)
    if module in ("vtkmodules", "vtk") and hasattr(value, "IsA"):
        from multiprocesstools.workers import vtk_arrays

        return vtk_arrays.to_arrays(value)
    return value


def from_arrays(value: Any) -> Any:
    """The inverse of `to_arrays`. ImportError if the library is not installed whose object is to be made."""
    what = value.get("kind") if type(value) is dict else None
    if what == "SimpleITK.Image":
        return _to_sitk(value)
    if what in ("vtkPolyData", "vtkImageData"):
        from multiprocesstools.workers import vtk_arrays

        return vtk_arrays.from_arrays(value)
    return _inside(from_arrays, value) if type(value) in (dict, list, tuple) else value


def _inside(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: change(inner) for key, inner in value.items()}
    return type(value)(map(change, value))


class _Held:
    """The memory of an image, which is kept with it; numpy takes it for an array (__array_interface__)."""

    def __init__(self, view: Any, owner: Any) -> None:
        self.__array_interface__ = view.__array_interface__
        self.owner = view, owner


def _from_sitk(image: Any) -> dict[str, Any]:
    import numpy

    simpleitk = sys.modules["SimpleITK"]
    return {
        "kind": "SimpleITK.Image",
        "array": numpy.asarray(_Held(simpleitk.GetArrayViewFromImage(image), image)),
        "pixel": image.GetPixelIDValue(),
        "is_vector": image.GetNumberOfComponentsPerPixel() > 1 or "vector" in image.GetPixelIDTypeAsString(),
        "spacing": image.GetSpacing(),
        "origin": image.GetOrigin(),
        "direction": image.GetDirection(),
        "metadata": {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()},
    }


def _to_sitk(fields: dict[str, Any]) -> Any:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(fields["array"], isVector=fields["is_vector"])
    if image.GetPixelIDValue() != fields["pixel"]:  # a label map, which numpy does not know
        image = SimpleITK.Cast(image, fields["pixel"])
    image.SetSpacing(fields["spacing"])
    image.SetOrigin(fields["origin"])
    image.SetDirection(fields["direction"])
    for key, text in fields["metadata"].items():
        image.SetMetaData(key, text)
    return image
