"""Arrays as bytes, meshes and volumes as arrays."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiprocesstools.errors import BadOutput, CannotBeSent
from multiprocesstools.workers.transfer import ArrayProcess, dumps, from_arrays, loads, over_arrays, to_arrays
from tests.workers.scripts import ENV, run_all, write_script

ARRAYS = {
    "floats": np.arange(60.0).reshape(3, 4, 5),
    "transposed": np.arange(12, dtype=">i2").reshape(3, 4).T,
    "strided": np.arange(20)[::3],
    "empty": np.empty((0, 3), np.float32),
    "scalar": np.array(7),
    "booleans": np.array([True, False]),
    "records": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "objects": np.array([{"a": 1}, None], dtype=object),
    "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was(name: str) -> None:
    array = ARRAYS[name]
    back = loads(dumps({"deep": [array, "text"]}))["deep"][0]
    assert back.dtype == array.dtype and back.shape == array.shape and type(back) is type(array)
    assert np.array_equal(np.ma.getdata(back), np.ma.getdata(array))
    assert np.array_equal(np.ma.getmaskarray(back), np.ma.getmaskarray(array))


def test_arrays_lie_in_the_bytes_that_were_loaded_and_are_aligned() -> None:
    packed = dumps([np.arange(3, dtype=np.uint8), np.arange(1000.0)])
    _, array = loads(packed)
    assert np.shares_memory(array, np.frombuffer(packed, np.uint8)) and not array.flags.writeable
    assert array.ctypes.data % 8 == 0 and array.flags.aligned
    writable = bytearray(packed)
    _, array = loads(writable)
    array[:] = 5
    assert np.all(loads(writable)[1] == 5)


def test_what_is_no_such_bytes_is_said() -> None:
    packed = dumps([np.arange(1000.0)])
    cut, longer, other = packed[:-1], packed + b"x", b"x" + packed[1:]
    for bad in (b"", b"short", cut, longer, other, packed[:40]):
        with pytest.raises(BadOutput):
            loads(bad)
    assert len(loads(packed)) == 1
    with pytest.raises(CannotBeSent, match="generator"):
        dumps(x for x in ())


@pytest.mark.parametrize("keep_alive", [False, True])
def test_arrays_go_through_a_script_and_back(tmp_path: Path, keep_alive: bool) -> None:
    script = write_script(
        tmp_path,
        """
        from multiprocesstools.workers.script import run
        from multiprocesstools.workers.transfer import over_arrays
        def handler(data):
            print("to stderr")
            return {"sum": data["array"] + data["array"][::-1], "times": data["times"]}
        run(over_arrays(handler), raw=True)
        """,
    )
    arrays = [np.arange(100_000.0) * times for times in range(3)]
    processes = [
        ArrayProcess(script, {"array": array, "times": (times,)}, env=ENV, keep_alive=keep_alive)
        for times, array in enumerate(arrays)
    ]
    assert run_all(list(processes)) == ["Completed"] * 3, processes[0].error
    for times, (process, array) in enumerate(zip(processes, arrays, strict=True)):
        assert process.output["times"] == (times,)
        assert np.array_equal(process.output["sum"], array + array[::-1])


def test_output_that_is_something_else_fails_the_process(tmp_path: Path) -> None:
    process = ArrayProcess(write_script(tmp_path, "print('hello')"), {})
    assert run_all([process]) == ["Failed"]
    assert isinstance(process.error, BadOutput) and "hello" in str(process.error)


def test_plain_values_stay_as_they_are_and_load_no_library() -> None:
    value = {"kind": "mine", "list": [1, (2, "x")], "array": ARRAYS["floats"]}
    assert to_arrays(value) == value and from_arrays(value)["array"] is ARRAYS["floats"]
    assert loads(over_arrays(lambda given: [given])(dumps(3))) == [3]
    code = "import sys; from multiprocesstools.workers import transfer; transfer.dumps(1); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "multiprocesstools.workers.transfer" in loaded
    assert not {"numpy", "vtk", "vtkmodules", "SimpleITK"} & set(loaded)


# -- the libraries themselves, where they are installed: pip install "multiprocesstools[meshes]"


def sphere() -> Any:
    pytest.importorskip("vtkmodules")
    from vtkmodules.vtkFiltersSources import vtkSphereSource

    source = vtkSphereSource()
    source.Update()
    return source.GetOutput()


def through(value: Any) -> Any:
    return from_arrays(loads(dumps(to_arrays(value))))


def test_a_mesh_of_vtk_comes_back_as_it_was() -> None:
    mesh = sphere()
    back = through([mesh])[0]
    before, after = to_arrays(mesh), to_arrays(back)
    assert np.array_equal(before["points"], after["points"]) and len(before["points"]) > 0
    assert before["cells"].keys() == after["cells"].keys() == {"Polys"}
    for part in ("Offsets", "Connectivity"):
        assert np.array_equal(before["cells"]["Polys"][part], after["cells"]["Polys"][part])
    assert np.array_equal(before["point_data"]["Normals"], after["point_data"]["Normals"])
    assert before["roles"] == after["roles"] and before["roles"]["point_data"] == {"Normals": "Normals"}
    assert back.GetNumberOfCells() == mesh.GetNumberOfCells() and back.GetBounds() == mesh.GetBounds()


def test_a_mesh_shares_its_memory_with_the_arrays_both_ways() -> None:
    mesh = sphere()
    arrays = to_arrays(mesh)
    arrays["points"][0] = (1, 2, 3)
    assert mesh.GetPoint(0) == (1, 2, 3)
    points = arrays["points"].copy()
    back = from_arrays({**arrays, "points": points})
    points[0] = (4, 5, 6)
    assert back.GetPoint(0) == (4, 5, 6)
    del mesh
    assert np.isfinite(arrays["points"]).all()
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    assert through(vtkPolyData()).GetNumberOfPoints() == 0


def test_a_volume_of_vtk_comes_back_as_it_was() -> None:
    sphere()
    from vtkmodules.vtkCommonDataModel import vtkImageData

    volume = vtkImageData()
    volume.SetExtent(1, 4, 0, 2, 0, 1)
    volume.SetSpacing(1, 2, 3)
    volume.SetOrigin(4, 5, 6)
    volume.SetDirectionMatrix((0, 1, 0, 1, 0, 0, 0, 0, -1))
    for kind, components in ((3, 1), (10, 3)):  # VTK_UNSIGNED_CHAR, VTK_FLOAT
        volume.AllocateScalars(kind, components)
        values = to_arrays(volume)["point_data"]["ImageScalars"]
        assert values.shape == (2, 3, 4) if components == 1 else (2, 3, 4, 3)
        values[...] = np.arange(values.size).reshape(values.shape)
        back = through(volume)
        again = to_arrays(back)
        assert np.array_equal(again.pop("point_data")["ImageScalars"], values)
        assert again == {key: value for key, value in to_arrays(volume).items() if key != "point_data"}
        assert back.GetScalarComponentAsDouble(2, 1, 1, 0) == volume.GetScalarComponentAsDouble(2, 1, 1, 0) > 0


def test_what_vtk_has_that_is_not_carried_is_said() -> None:
    mesh = sphere()
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkCommonDataModel import vtkUnstructuredGrid

    with pytest.raises(CannotBeSent, match="vtkUnstructuredGrid"):
        to_arrays(vtkUnstructuredGrid())
    words = vtkStringArray()
    words.SetName("words")
    mesh.GetFieldData().AddArray(words)
    with pytest.raises(CannotBeSent, match="words"):
        to_arrays(mesh)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 4), (2, 3, 4, 3)], ids=["volume", "plane", "vectors"])
def test_an_image_of_simpleitk_comes_back_as_it_was(shape: tuple[int, ...]) -> None:
    simpleitk = pytest.importorskip("SimpleITK")
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = simpleitk.GetImageFromArray(values, isVector=len(shape) == 4)
    axes = image.GetDimension()
    image.SetSpacing([0.5 + axis for axis in range(axes)])
    image.SetOrigin([10.0 * axis for axis in range(axes)])
    image.SetMetaData("modality", "MR")
    back = through({"image": image})["image"]
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelIDValue", "GetMetaDataKeys"):
        assert getattr(back, get)() == getattr(image, get)()
    assert np.array_equal(simpleitk.GetArrayFromImage(back), values)
    array = to_arrays(image)["array"]
    assert np.shares_memory(array, simpleitk.GetArrayViewFromImage(image)) and not array.flags.writeable
    del image
    assert np.array_equal(array, values)
