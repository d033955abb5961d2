"""A picture file becomes the pixels that a person sees, for every feature alike."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features


@pytest.fixture
def files(pack):
    return pack.nodes.shared.picture_file


def read(files, path):
    made = files.read_picture(path)
    return np.asarray(made.image), made


def told(files, made):
    return files.sentences([("x", remark) for remark in made.remarks])


RAMP = np.linspace(0, 1, 256)[None].repeat(4, 0)


@pytest.mark.parametrize("name, values, range_", [
    ("grey16.png", (RAMP * 65535).astype(np.uint16), None),
    ("grey16.tif", (RAMP * 65535).astype(np.uint16), None),
    ("deep.pgm", (RAMP * 65535).astype(np.uint16), None),
    ("int32.tif", (RAMP * 65535).astype(np.int32), "0 to 65535"),
    ("large.tif", (RAMP * 1e9).astype(np.int32), "0 to 1e"),
    ("bytes32.tif", (RAMP * 255).astype(np.int32), "0 to 255"),
    ("float.tif", RAMP.astype(np.float32), "0 to 1 "),
    ("float255.tif", (RAMP * 255).astype(np.float32), "0 to 255"),
    ("float9.tif", (RAMP * 1e6).astype(np.float32), "0 to 1e"),
    ("signed.tif", (RAMP * 500 - 250).astype(np.float32), "-250 to 250"),
])
def test_more_than_eight_bits_of_grey_are_scaled_to_their_range(files, tmp_path, name, values, range_):
    Image.fromarray(values).save(tmp_path / name)
    pixels, made = read(files, tmp_path / name)
    assert np.abs(pixels[..., 1].astype(float) - RAMP * 255).max() <= 1 and pixels.shape == (4, 256, 3)
    assert np.array_equal(np.asarray(files.read_mask(tmp_path / name)), pixels[..., 0])
    assert [range_ in f"{remark.detail} " for remark in made.remarks] == ([True] if range_ else [])


def test_a_dark_picture_of_sixteen_bits_stays_dark_and_is_told_of(files, tmp_path):
    Image.fromarray((RAMP * 3000).astype(np.uint16)).save(tmp_path / "dark.png")
    pixels, made = read(files, tmp_path / "dark.png")
    assert pixels.max() == 12 and told(files, made) == ["Nearly black: x (nothing brighter than 3000 of 65535)."]


def test_numbers_that_are_none_are_refused(files, tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(ValueError, match="^it holds values that are no finite numbers$"):
        files.read_picture(tmp_path / "nan.tif")


def wide_gamut(gamma=2.2):
    """A profile of Adobe RGB's primaries, written by hand: what a camera or an editor puts into its files."""
    def s15(*numbers):
        return struct.pack(f">{len(numbers)}i", *(round(n * 65536) for n in numbers))

    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(78),
            b"wtpt": b"XYZ " + bytes(4) + s15(0.9642, 1.0, 0.8249),
            b"rXYZ": b"XYZ " + bytes(4) + s15(0.60974, 0.31111, 0.01947),
            b"gXYZ": b"XYZ " + bytes(4) + s15(0.20528, 0.62567, 0.06087),
            b"bXYZ": b"XYZ " + bytes(4) + s15(0.14919, 0.06322, 0.74457)}
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def adobe_to_srgb(rgb):
    """The same in plain numbers: linear Adobe RGB -> linear sRGB -> sRGB (matrix of Lindbloom, both D65)."""
    linear = (np.asarray(rgb) / 255) ** 2.2
    linear = np.clip([[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]] @ linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".webp"])
def test_colours_are_brought_from_their_profile_to_srgb(files, tmp_path, ending):
    colour = (100, 180, 90)
    Image.new("RGB", (16, 16), colour).save(tmp_path / f"a{ending}", icc_profile=wide_gamut(), quality=100)
    pixels, made = read(files, tmp_path / f"a{ending}")
    assert np.abs(pixels[8, 8] - adobe_to_srgb(colour)).max() <= 4 and abs(int(pixels[8, 8, 0]) - 100) > 30
    assert told(files, made) == ["Colours brought to sRGB from another colour space: x."]


def test_a_profile_of_srgb_changes_not_one_value(files, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=profile)
    Image.fromarray(colours).convert("L").save(tmp_path / "grey.png", icc_profile=profile)
    pixels, made = read(files, tmp_path / "a.png")
    assert np.array_equal(pixels, colours) and made.remarks == ()
    assert read(files, tmp_path / "grey.png")[1].remarks == ()


def test_opacity_palettes_and_grey_keep_their_place_beside_a_profile(files, tmp_path):
    colour = (100, 180, 90)
    plain = Image.new("RGB", (16, 16), colour)
    clear = plain.copy()
    clear.putalpha(Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    clear.save(tmp_path / "clear.png", icc_profile=wide_gamut())
    plain.quantize(4).save(tmp_path / "palette.png", icc_profile=wide_gamut())
    Image.new("LA", (16, 16), (100, 7)).save(tmp_path / "la.png", icc_profile=wide_gamut(1.0))
    pixels, made = read(files, tmp_path / "clear.png")
    assert np.abs(pixels[8, 8, :3] - adobe_to_srgb(colour)).max() <= 3 and pixels[8, 8, 3] == 136
    assert np.abs(read(files, tmp_path / "palette.png")[0][8, 8] - adobe_to_srgb(colour)).max() <= 3
    grey, _ = read(files, tmp_path / "la.png")
    assert grey[0, 0, 3] == 7 and abs(int(grey[0, 0, 0]) - 168) <= 2      # 100 of 255, linear, in sRGB


def test_a_damaged_profile_is_told_and_the_picture_kept(files, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png", icc_profile=b"no profile at all")
    pixels, made = read(files, tmp_path / "a.png")
    assert tuple(pixels[0, 0]) == (255, 0, 0)
    assert told(files, made) == ["Colours taken for sRGB, because their colour profile cannot be used: x."]


@pytest.mark.parametrize("mode, colour, seen", [
    ("CMYK", (0, 255, 255, 0), (255, 0, 0)), ("1", 1, (255, 255, 255)), ("P", 1, None), ("L", 9, (9, 9, 9)),
    ("LAB", (255, 128, 128), (255, 255, 255)), ("YCbCr", (255, 128, 128), (255, 255, 255)),
])
def test_every_kind_of_pixel_becomes_rgb(files, tmp_path, mode, colour, seen):
    Image.new(mode, (8, 8), colour).save(tmp_path / "a.tif")
    pixels, _ = read(files, tmp_path / "a.tif")
    assert pixels.shape == (8, 8, 3) and (seen is None or np.abs(pixels[0, 0].astype(int) - seen).max() <= 1)


def test_a_picture_stands_as_the_camera_was_held_in_every_mode(files, tmp_path):
    for name, image in (("turned.jpg", Image.new("RGB", (30, 20), "blue")), ("turned.png", Image.new("L", (30, 20))),
                        ("deep.png", Image.fromarray(np.zeros((20, 30), np.uint16)))):
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / name, exif=exif)
        assert files.read_picture(tmp_path / name).image.size == (20, 30), name
        assert files.read_mask(tmp_path / name).size == (20, 30), name


def test_the_first_frame_is_taken_and_the_others_are_counted(files, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        pixels, made = read(files, tmp_path / name)
        assert told(files, made) == ["Only the first frame or page is used: x (of 3)."]
        assert pixels[0, 0, 0] > 200 and pixels[0, 0, 2] < 60, name


def test_the_worst_of_many_are_named_first(files):
    remark = files.Remark
    pairs = [(f"{n}.png", remark("Large", f"{n} m", n)) for n in range(9)] + [("x.png", remark("Odd"))]
    assert files.sentences(pairs) == ["Large: 8.png (8 m), 7.png (7 m), 6.png (6 m), 5.png (5 m), 4.png (4 m) and 4 "
                                      "more.", "Odd: x.png."]


def test_how_much_of_a_picture_is_transparent_is_told(files, tmp_path):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 255, 0, 0), (0, 0, 8, 2))
    image.save(tmp_path / "a.png")
    made = files.read_picture(tmp_path / "a.png")
    assert told(files, made) == ["Colours under transparent parts are seen as well: x (25%)."]
    assert files.transparent_share(Image.new("RGB", (8, 8))) == 0


def damaged():
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    whole = file.getvalue()
    bomb = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + bomb + struct.pack(">I", zlib.crc32(b"IHDR" + bomb))
    return {"empty.png": b"", "text.png": b"hello", "cut.png": whole[:len(whole) // 2], "head.png": whole[:30],
            "bomb.png": whole[:8] + chunk + whole[33:], "zero.gif": b"GIF89a" + bytes(7),
            "torn.tif": b"II*\0\xff\xff\0\0"}


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_file_is_one_sentence_without_a_path(files, tmp_path, name):
    (tmp_path / name).write_bytes(damaged()[name])
    for reads in (files.read_picture, files.read_mask):
        with pytest.raises(ValueError) as error:
            reads(tmp_path / name)
        assert str(error.value) and str(tmp_path) not in str(error.value) and "\n" not in str(error.value)


def test_damaged_exif_leaves_the_picture_as_it_lies(files, tmp_path):
    Image.new("RGB", (30, 20), "blue").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert files.read_picture(tmp_path / "a.jpg").image.size == (30, 20)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow opens no AVIF")
def test_avif_is_read(files, tmp_path):
    Image.new("RGB", (32, 32), (200, 30, 60)).save(tmp_path / "a.avif", quality=95)
    assert np.abs(read(files, tmp_path / "a.avif")[0][16, 16].astype(int) - (200, 30, 60)).max() <= 4
