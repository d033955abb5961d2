"""Contact sheets: pictures of every size fill their cells, and what belongs together stays in a row."""
import pytest
import torch


@pytest.fixture(scope="module")
def sheets(pack):
    return pack.nodes.charts.chart_types.contact_sheet


@pytest.fixture(scope="module")
def theme(pack):
    return pack.nodes.charts.drawing.theme.LIGHT


@pytest.mark.parametrize("size, shown", [((64, 64), (160, 160)), ((1024, 512), (160, 80)), ((16, 320), (8, 160))])
def test_a_thumbnail_has_its_longer_side_at_that_of_a_cell(sheets, size, shown):
    assert sheets.thumbnail(torch.rand(1, *size, 3)).shape == (*shown, 3)


@pytest.mark.parametrize("count, together, columns, rows", [(1, 1, 1, 1), (8, 1, 4, 2), (6, 3, 3, 2), (8, 2, 4, 2),
                                                            (9, 1, 6, 2), (9, 3, 6, 2)])
def test_few_cells_stand_in_few_columns_and_triples_stay_whole(sheets, theme, count, together, columns, rows):
    scene = sheets.sheet([sheets.Cell(torch.zeros(8, 8, 3), ("a", "b"))] * count, theme, "", together)
    one = sheets.sheet([sheets.Cell(torch.zeros(8, 8, 3), ("a", "b"))], theme)
    assert scene.w == sheets.GAP + columns * (one.w - sheets.GAP)
    assert scene.h == sheets.GAP + rows * (one.h - sheets.GAP)
