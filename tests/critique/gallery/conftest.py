"""What the tests of galleries share: small real pictures, four of them broken, and the table of them."""
import runpy
import subprocess

import numpy as np
import pytest
from gallery_runs import COUNT, PACK, QUICK, command
from PIL import Image


@pytest.fixture(scope="session")
def alone():
    """module(name): the pack's modules without the host, as a worker imports them."""
    return runpy.run_path(str(PACK / "nodes" / "shared" / "pack_alone.py"))["module"]


@pytest.fixture
def settings(alone):
    """What the table of colour and value is measured with."""
    return alone("critique.gallery.measuring").Settings(QUICK)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """24 pieces of photographs; of four the content is no picture, cut short, empty and too small."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    whole = [getattr(data, name)() for name in ("astronaut", "coffee", "chelsea")]
    for number in range(COUNT):
        photograph = whole[number % 3]
        y, x = (int(draw.integers(0, side - 96)) for side in photograph.shape[:2])
        place = root / "ab"[number > 5] / f"{number:02}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(photograph[y:y + 64, x:x + 96]).save(place)
    cut = root / "a" / "05.png"
    for name, content in (("a/03.png", b"no picture"), ("a/05.png", cut.read_bytes()[:400]), ("b/07.png", b"")):
        (root / name).write_bytes(content)
    Image.new("RGB", (4, 4)).save(root / "b" / "09.png")
    return root


@pytest.fixture(scope="session")
def made(folder, tmp_path_factory):
    """The table of colour and value of the pictures, by the command, and what it said."""
    out = tmp_path_factory.mktemp("galleries") / "quick"
    run = command(folder, "--out", out, "--workers", 2, "--measures", QUICK, stdout=subprocess.PIPE)
    said, error = run.communicate(timeout=300)
    assert run.returncode == 0, error
    return out, said


@pytest.fixture(scope="session")
def rows(alone):
    """rows(folder): every row of a table, {column: value}, by its path; NaN as None."""
    def read(out):
        tables, found = alone("shared.picture_table"), {}
        table = tables.PictureTable(out)
        names = ["path", "size", "mtime_ns", "error", *table.columns]
        for part in table.parts:
            held = tables.read_part(part, names)
            for row in zip(*(list(held[name]) for name in names), strict=True):
                found[row[0]] = {name: None if value != value else value
                                 for name, value in zip(names, row, strict=True)}
        return found
    return read
