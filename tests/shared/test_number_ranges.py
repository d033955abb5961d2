"""What is said of a number that came over a link and lies outside what an input takes."""
import pytest

NAN = float("nan")


@pytest.mark.parametrize("value, least, most, said", [
    (1, 1, float("inf"), ""), (0, 1, float("inf"), "seeds: expected 1 or more, got 0"),
    (NAN, 0, float("inf"), "seeds: expected 0 or more, got nan"), (2, 0, 1.5, "seeds: expected 0 to 1.5, got 2"),
    (1.5, 0, 1.5, ""), (-0.25, 0, 10.0, "seeds: expected 0 to 10, got -0.25"),
    (2**64, 0, 2**64 - 1, "seeds: expected 0 to 1.844674407e+19, got 1.844674407e+19")])
def test_one_sentence_names_the_input_what_is_taken_and_what_came(pack, value, least, most, said):
    assert pack.nodes.shared.number_ranges.outside("seeds", value, least, most) == said


@pytest.mark.parametrize("value, said", [(0, ""), (0.0, ""), (0.1, ""), (
    0.001, "length: expected 0, or 0.005 to 0.28, got 0.001"), (NAN, "length: expected 0, or 0.005 to 0.28, got nan")])
def test_zero_may_stand_apart_from_the_range(pack, value, said):
    assert pack.nodes.shared.number_ranges.outside("length", value, 0.005, 0.28, or_zero=True) == said


@pytest.mark.parametrize("length, kept, said", [
    (0.0, 0.0, "length: expected 0.005 to 0.28, got 0."),
    (0.1, 0.5, "kept_length: expected 0, or 0.005 to 0.28, got 0.5.")])
def test_the_lengths_of_averages_over_links_are_held_to_their_range(host, length, kept, said):
    node = host.nodes.NODE_CLASS_MAPPINGS["BottegaAverageCheckpoints"]
    with pytest.raises(ValueError) as error:
        node.execute(loras="x", how="mean", length=length, first=0, last=0, rank=0, kept_length=kept)
    assert str(error.value) == said
