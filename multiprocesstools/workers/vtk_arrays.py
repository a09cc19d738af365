"""Meshes and volumes of VTK as dicts of arrays, and back.

Guarantee: points, cells, geometry and all arrays by name, with the part that each plays (scalars, normals ...), come
back as they were; a kind of object or of array that is not carried is a CannotBeSent. Condition: vtkPolyData or
vtkImageData with arrays of numbers.
"""

from typing import Any

from multiprocesstools.errors import CannotBeSent

_CELLS = ("Verts", "Lines", "Polys", "Strips")
_ROLES = ("Scalars", "Vectors", "Normals", "TCoords", "Tensors")


def to_arrays(thing: Any) -> dict[str, Any]:
    """The arrays share the memory of the object. CannotBeSent."""
    name = thing.GetClassName()
    if name == "vtkPolyData":
        return {"kind": name, "points": _points(thing), "cells": _cells(thing), **_data(thing, None)}
    if name == "vtkImageData":
        extent = thing.GetExtent()
        geometry = {
            "extent": extent, "spacing": thing.GetSpacing(), "origin": thing.GetOrigin(),
            "direction": tuple(thing.GetDirectionMatrix().GetData()),
        }  # fmt: skip
        return {"kind": name, **geometry, **_data(thing, _shape(extent))}
    raise CannotBeSent("object of VTK", name, "only vtkPolyData and vtkImageData are turned into arrays")


def from_arrays(fields: dict[str, Any]) -> Any:
    """The object, in the memory of the arrays that may be written to."""
    from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData

    if fields["kind"] == "vtkPolyData":
        thing = vtkPolyData()
        _give_points(thing, fields["points"])
        _give_cells(thing, fields["cells"])
    else:
        thing = vtkImageData()
        thing.SetExtent(fields["extent"])
        thing.SetSpacing(fields["spacing"])
        thing.SetOrigin(fields["origin"])
        thing.SetDirectionMatrix(fields["direction"])
    for data, part in (
        (thing.GetPointData(), "point_data"), (thing.GetCellData(), "cell_data"), (thing.GetFieldData(), "field_data"),
    ):  # fmt: skip
        _give_data(data, fields[part], fields["roles"].get(part, {}))
    return thing


def _shape(extent: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent[axis + 1] - extent[axis] + 1 for axis in (4, 2, 0))


def _numpy(array: Any) -> Any:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(array)


def _vtk(array: Any) -> Any:
    import numpy
    from vtkmodules.util.numpy_support import numpy_to_vtk

    return numpy_to_vtk(numpy.require(array, requirements=["C", "W"]), deep=not array.flags.writeable)


def _points(mesh: Any) -> Any:
    return None if mesh.GetPoints() is None else _numpy(mesh.GetPoints().GetData())


def _give_points(mesh: Any, array: Any) -> None:
    from vtkmodules.vtkCommonCore import vtkPoints

    if array is not None:
        points = vtkPoints()
        points.SetData(_vtk(array))
        mesh.SetPoints(points)


def _cells(mesh: Any) -> dict[str, Any]:
    found = {}
    for name in _CELLS:
        cells = getattr(mesh, f"Get{name}")()
        if cells.GetNumberOfCells():
            found[name] = {part: _numpy(getattr(cells, f"Get{part}Array")()) for part in ("Offsets", "Connectivity")}
    return found


def _give_cells(mesh: Any, found: dict[str, Any]) -> None:
    import numpy
    from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray

    for name, parts in found.items():
        ids = [numpy.require(parts[part], numpy.int64, ["C", "W"]) for part in ("Offsets", "Connectivity")]
        cells = vtkCellArray()
        cells.SetData(*(numpy_to_vtkIdTypeArray(array, deep=False) for array in ids))
        getattr(mesh, f"Set{name}")(cells)


def _data(thing: Any, shape: tuple[int, ...] | None) -> dict[str, Any]:
    points, cells = thing.GetPointData(), thing.GetCellData()
    return {
        "point_data": _named(points, shape),
        "cell_data": _named(cells, None),
        "field_data": _named(thing.GetFieldData(), None),
        "roles": {"point_data": _roles(points), "cell_data": _roles(cells)},
    }


def _named(data: Any, shape: tuple[int, ...] | None) -> dict[str, Any]:
    found = {}
    for number in range(data.GetNumberOfArrays()):
        array, name = data.GetArray(number), data.GetArrayName(number) or ""
        if array is None or name in found:
            why = "its values are no numbers" if array is None else "there is another one by this name"
            raise CannotBeSent(f"array {name!r} of VTK", data.GetAbstractArray(number).GetClassName(), why)
        values = _numpy(array)
        found[name] = values if shape is None else values.reshape(shape + values.shape[1:])
    return found


def _roles(data: Any) -> dict[str, str]:
    active = {role: getattr(data, f"Get{role}")() for role in _ROLES}
    return {role: array.GetName() or "" for role, array in active.items() if array is not None}


def _give_data(data: Any, found: dict[str, Any], roles: dict[str, str]) -> None:
    volume = 3  # axes, of an image; a fourth is that of the components
    for name, values in found.items():
        flat = values.reshape(-1, *values.shape[volume:]) if values.ndim >= volume else values
        array = _vtk(flat)
        array.SetName(name)
        data.AddArray(array)
    for role, name in roles.items():
        getattr(data, f"SetActive{role}")(name)
