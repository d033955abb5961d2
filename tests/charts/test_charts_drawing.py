"""The language of graphics, down to the pixels it ends in."""
import pytest
import torch


def colour_at(image, x, y):
    return tuple((image[0, y, x] * 255).round().int().tolist())


def test_spread_puts_marks_one_after_another_and_draws_nothing_itself(charts):
    scene = charts.drawing.scene
    row = scene.spread([scene.rect(10, 20, (255, 0, 0)), scene.rect(30, 8, (0, 0, 255))], "x", 5, align="end")
    assert (row.w, row.h) == (45, 20)
    drawn = charts.drawing.draw.render(row, (255, 255, 255))
    assert drawn.shape == (1, 20, 45, 3) and drawn.dtype == torch.float32
    assert colour_at(drawn, 5, 10) == (255, 0, 0)
    assert colour_at(drawn, 12, 10) == (255, 255, 255)
    assert colour_at(drawn, 20, 11) == (255, 255, 255) and colour_at(drawn, 20, 12) == (0, 0, 255)


def test_stack_is_spread_without_a_gap(charts):
    scene = charts.drawing.scene
    marks = [scene.circle(4, (1, 2, 3)), scene.rect(3, 5, (4, 5, 6))]
    assert scene.stack(marks, "y") == scene.spread(marks, "y", 0)


@pytest.mark.parametrize("words", ["A title of a. few words ...", "слово " * 40, "x", ""])
def test_a_text_is_cut_where_the_room_ends(charts, words):
    scene, ink = charts.drawing.scene, (0, 0, 0)
    for room in (0, 30, 120, 10_000):
        expected, kept = scene.text(words, 20, ink), words
        while expected.w > room and kept:       # letter by letter
            kept = kept[:-1].rstrip(" .")
            expected = scene.text(kept + "...", 20, ink)
        assert scene.fitted(words, 20, ink, room) == expected


def test_a_picture_keeps_its_pixels(charts):
    pixels = torch.randint(0, 256, (7, 9, 3), generator=torch.Generator().manual_seed(1)) / 255
    drawn = charts.drawing.draw.render(charts.drawing.scene.image(pixels), (0, 0, 0))
    assert torch.allclose(drawn[0], pixels.float(), atol=1e-6)


def test_the_heat_ramp_grows_lighter_all_the_way(charts):
    shades = charts.drawing.theme.ramp(torch.linspace(0, 1, 64))
    lightness = shades @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (lightness.diff() > 0).all()


@pytest.mark.parametrize("theme", ["LIGHT", "DARK"])
def test_words_and_marks_stand_out_from_the_paper(charts, theme):
    theme = getattr(charts.drawing.theme, theme)

    def luminance(colour):
        linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(c * k for c, k in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))

    def contrast(colour):
        first, second = sorted((luminance(colour), luminance(theme.paper)))
        return (second + 0.05) / (first + 0.05)

    assert contrast(theme.ink) > 7 and contrast(theme.muted) > 4.5  # WCAG 2.2: AAA and AA for text
    assert all(contrast(colour) > 3 for colour in (theme.gain, theme.loss, *theme.series))  # and for graphics


@pytest.mark.parametrize("low, high, expected", [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1, 300, [100, 200, 300]),
                                                 (-0.013, 0.012, [-0.01, -0.005, 0, 0.005, 0.01])])
def test_ticks_are_round_numbers_inside_the_range(charts, low, high, expected):
    assert charts.grammar.ticks.ticks(low, high) == pytest.approx(expected)


def test_a_falling_loss_falls_on_the_chart(charts):
    theme = charts.drawing.theme.LIGHT
    drawn = charts.chart_picture.picture('{"loss": [1.0, 0.5, 0.25, 0.125]}', "loss()", 960, 600, "light")[0]
    ink = (drawn * 255 - torch.tensor(theme.series[0])).abs().amax(2) < 12
    columns = ink.any(0).nonzero()[:, 0]
    first, last = (ink[:, column].nonzero().float().mean() for column in (columns[2], columns[-3]))
    assert last > first + 280


def test_a_single_flat_value_can_be_drawn(charts):
    data = '[{"loss": 0.0, "run": "a"}, {"loss": 0.0, "run": "b"}, {"loss": 0.0, "run": "b"}]'
    drawn = charts.chart_picture.picture(data, "loss(by=run)", 480, 320, "dark")
    assert drawn.shape == (1, 320, 480, 3)


def test_a_profile_marks_each_position_and_draws_gains_to_the_right(charts):
    profile, theme = charts.chart_types.profile, charts.drawing.theme.LIGHT
    titles = profile.Titles("63", "Title", "subtitle", "track", "points", "foot")
    scene = profile.profile([profile.Row("Gain", [50.0], 8.0), profile.Row("Loss", [99.0], -8.0)], titles, theme)
    drawn = charts.drawing.draw.render(scene, theme.paper)[0] * 255

    def places(colour, row):
        top = profile.HEAD + profile.ROW * row
        strip = drawn[top + 20:top + profile.ROW - 20]
        return ((strip - torch.tensor(colour)).abs().amax(2) < 8).any(0).nonzero()[:, 0]

    track = profile.MARGIN + profile.LABEL
    gains, losses = places(theme.gain, 0), places(theme.loss, 1)
    assert track + profile.TRACK * 0.5 == pytest.approx(gains[gains < track + profile.TRACK].float().mean(), abs=2)
    marks = losses[losses < track + profile.TRACK + 20].float()
    assert track + profile.TRACK * 0.99 == pytest.approx(marks.mean(), abs=2)
    assert gains[-1] > losses[-1]


@pytest.mark.parametrize("words, drawn", [("Wölfflin", "Wolfflin"), ("95 % ± 3", "95 % ± 3"), ("a – b", "a - b"),
                                          ("Groß", "Gross")])
def test_letters_that_the_face_lacks_are_written_plainly(charts, words, drawn):
    assert "".join(run.letters for run in charts.drawing.typeface.runs(words, 20)) == drawn


FOREIGN = ("Привет", "שלום", "مرحبا", "東京", "你好", "한국어", "\U00013000", "\U00013001")


def test_names_in_other_scripts_never_look_the_same(charts):
    drawing = charts.drawing
    seen = [drawing.draw.render(drawing.scene.layer([drawing.scene.text(name, 24, (0, 0, 0))], 300, 40),
                                (255, 255, 255)) for name in FOREIGN]
    assert all((one != other).any() for i, one in enumerate(seen) for other in seen[i + 1:])
    assert drawing.typeface.undrawn("\U00013000b") == "\U00013000"
    assert drawing.typeface.runs("\U00013000", 20)[0].letters.startswith("U+13000")


def test_what_is_read_from_the_right_stands_so_with_and_without_a_shaping_engine(charts, monkeypatch):
    typeface = charts.drawing.typeface
    assert typeface._joined("سلام") == "\ufeb3\ufefc\ufee1" or typeface._joined("سلام") == "\ufeb3\ufee0\ufe8e\ufee1"
    monkeypatch.setattr(typeface.features, "check", lambda name: False)
    assert typeface._shaped("שלום") == "םולש"
    monkeypatch.setattr(typeface.features, "check", lambda name: True)
    assert typeface._shaped("שלום") == "שלום"
    assert typeface._from_right("שלום abc") and not typeface._from_right("abc שלום")


def test_an_outlying_dot_bears_the_name_of_its_measure(charts):
    profile, theme = charts.chart_types.profile, charts.drawing.theme.LIGHT

    def words(node):
        own = [node.look["text"]] if node.kind == "text" else []
        return own + [word for child in node.children for word in words(child)]

    row = profile.Row("Value", [50, 99], 1.0, ["RMS contrast", "Luminance entropy"])
    drawn = words(profile.profile([row], profile.Titles("50", "", "", "", "", ""), theme))
    assert "Luminance entropy" in drawn and "RMS contrast" not in drawn
