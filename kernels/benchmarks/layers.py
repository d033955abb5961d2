"""Shapes [out, in] of the layers that LoRAs change, and how many of each a model has."""

Shapes = dict[tuple[int, int], int]

SDXL: Shapes = {
    # 10 transformer blocks 640 wide, 60 blocks 1280 wide: attention, cross-attention to 2048, GEGLU
    (640, 640): 60, (640, 2048): 20, (5120, 640): 10, (640, 2560): 10,
    (1280, 1280): 360, (1280, 2048): 120, (10240, 1280): 60, (1280, 5120): 60,
}
FLUX: Shapes = {
    # 19 double-stream blocks (two streams each), 38 single-stream blocks
    (18432, 3072): 38, (9216, 3072): 76, (3072, 3072): 38, (12288, 3072): 38, (3072, 12288): 38,
    (21504, 3072): 38, (3072, 15360): 38,
}
SDXL_BLOCK: Shapes = {(1280, 1280): 6, (1280, 2048): 2, (10240, 1280): 1, (1280, 5120): 1}
FLUX_BLOCK: Shapes = {(9216, 3072): 1, (3072, 3072): 1, (12288, 3072): 1, (3072, 12288): 1}


def each(shapes: Shapes, share: float = 1.0) -> list[tuple[int, int]]:
    """Every layer on its own; with a share below 1 at least one of each shape."""
    return [shape for shape, number in shapes.items() for _ in range(max(1, round(number * share)))]


def parameters(shapes: Shapes) -> int:
    return sum(rows * columns * number for (rows, columns), number in shapes.items())
