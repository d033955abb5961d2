"""Which pictures of a batch are drawn, and that a long batch keeps no pictures but those."""
import pytest
import torch


@pytest.fixture(scope="module")
def drawn(pack):
    return pack.nodes.critique.nodes.drawn_pictures.drawn_pictures


@pytest.mark.parametrize("text, count, places", [("", 3, [0, 1, 2]), ("all", 40, list(range(40))),
                                                 ("2, 4-9", 5, [1, 3, 4]), ("5,5 , 5", 9, [4])])
def test_numbers_and_ranges_are_read(drawn, text, count, places):
    assert drawn(text, count) == places


def test_of_a_film_sixteen_are_drawn_from_the_first_to_the_last(drawn):
    found = drawn("", 200)
    assert len(found) == 16 and found[0] == 0 and found[-1] == 199 and found == sorted(set(found))


@pytest.mark.parametrize("text, sentence", [("7", 'drawn: expected pictures from 1 to 3, got "7"'),
                                            ("2-1", 'drawn: "2-1" cannot be read'), ("x" * 900, "drawn: \"xxx"),
                                            ("0", 'drawn: "0" cannot be read'), ("-", 'drawn: "-" cannot be read')])
def test_what_cannot_be_read_is_a_sentence(drawn, text, sentence):
    with pytest.raises(ValueError) as error:
        drawn(text, 3)
    assert str(error.value).startswith(sentence) and len(str(error.value)) < 300


def test_only_drawn_pictures_hold_a_chart_and_a_heat_map(pack, measured_small):
    examination = pack.nodes.critique.examination
    image = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(1))
    request = examination.default_request()._replace(drawn=False)
    found = examination.criticise(image, request)
    assert found.chart is found.heatmap is None and found.critique.critique.score >= 0
    held = sum(each.nbytes for each in (found.ground, found.strip))
    assert held < 1_000_000
