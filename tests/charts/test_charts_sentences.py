"""What a chart says of what it cannot draw, and of what a spec says in vain."""
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("data, spec, words", [
    ("[", "bars()", "data: expected JSON"),
    ("[]", "bars()", "data: expected at least one row"),
    ("7", "bars()", "data: expected a list of rows, got int"),
    ('[{"a": 1}]', "bars(label=b)", "expected a column of data, got 'b'; row 1 has a"),
    ('[{"name": "x", "value": "tall"}]', "bars(value=value)", "needs a number there, row 1 has 'tall'"),
    ('[{"n": NaN}]', "rect(h=n)", "must hold finite numbers, row 1 has nan"),
    ('[{"n": 1}, {"m": 2}]', "spread(n) . rect(h=n)", "got 'n'; row 2 has m"),
    ('{"a": [1, 2], "b": [1]}', "bars()", "columns of one length, got a 2, b 1"),
    ('[{"name": "a", "value": 1}, {"name": "b", "value": 2}]', "radar()", "at least 3 values"),
    ('[{"n": 1}]', "rect(h=n, fill=nowhere)", "expected a column, a colour .* got 'nowhere'"),
    ('[{"n": 1}]', "rect(h=n); select(dots) . line()", "finds nothing of that name"),
    ('[{"x": [1]}]', "frame(rows=y); bars()", "got 'y'; record 1 has x"),
    ('[{"x": null}]', "frame(rows=x); bars()", "expected a list or an object at 'x', record 1 has nothing there"),
    ('[{"x": [1]}]', "frame(rows=x, picture=2); bars()", "picture expected a number from 1 to 1, got 2"),
    ('[{"n": 1}]', "frame(w=100, h=60); rect(h=n)", "leaves no room"),
    (json.dumps([{"a": i, "n": 1} for i in range(90)]), "spread(a) . rect(h=n)", "90 marks .* do not fit into"),
    ('[{"colour": "#000000", "share": -1}]', "palette()", "'share' must not be negative, got -1"),
    (json.dumps([{str(i): i for i in range(40)}]), "bars(label=b)", "row 1 has 0, 1, .*, 11 and 28 more$"),
    ('[{"n": 1, "k": "x"}, {"n": 2}]', "rect(h=n, fill=k)", "rect fill expected a column .* got 'k'; row 2 has n"),
    ('[{"n": 1, "k": "x"}, {"n": 2}]', "scatter(x=n, y=n) . line(stroke=k)", "line stroke expected a column .* row 2"),
    ('[{"n": 1}]', "frame(theme=sepia); rect(h=n)", "theme expected light or dark, got 'sepia'"),
])
def test_what_cannot_be_drawn_is_said_in_one_sentence(charts, data, spec, words):
    with pytest.raises(ValueError, match=words):
        charts.chart_picture.picture(data, spec, 400, 300, "light")


@given(st.text(alphabet="spreadctlin()=.,;#\"' \n0123456789abxyh-", max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_words_break_the_reading_of_a_spec(charts, words):
    try:
        charts.chart_picture.picture('[{"a": "x", "h": 1}, {"a": "y", "h": 2}]', words, 200, 160, "light")
    except ValueError as error:
        assert str(error).startswith(("spec: ", "data: "))


@pytest.mark.parametrize("value, sentence", [
    (1e308, r"^data: expected numbers up to 1e\+100, row 1 has 1e\+308 in 'value'"),
    (-10 ** 400, r"^data: expected numbers up to 1e\+100, row 1 has an integer of 401 digits in 'value'"),
    ("1" * 5000, r"^data: expected JSON, got ")])
@pytest.mark.parametrize("spec", ["bars()", "waterfall()", "timeline(x=name, y=value)", "loss()"])
def test_numbers_that_no_chart_can_hold_give_a_sentence(charts, value, sentence, spec):
    data = f'[{{"name": "x", "value": {value}}}, {{"name": "y", "value": 2}}]'
    with pytest.raises(ValueError, match=sentence) as error:
        charts.chart_picture.picture(data, spec, 400, 300, "light")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("value", [5e-324, 1e-200, 1e99, -1e99])
@pytest.mark.parametrize("spec", ["bars()", "waterfall()", "timeline(x=name, y=value)", "loss()"])
def test_the_least_and_the_largest_numbers_are_drawn(charts, value, spec):
    data = json.dumps([{"name": "x", "value": value}, {"name": "y", "value": 0}, {"name": "z", "value": 1}])
    assert charts.chart_picture.picture(data, spec, 400, 300, "light").shape[2] == 400


def test_letters_that_no_typeface_has_are_told_below_the_chart(charts):
    data = json.dumps([{"name": "\U00013000", "value": 1}, {"name": "\U00013001", "value": 2}])
    plain = data.replace(json.dumps("\U00013000"), '"a"').replace(json.dumps("\U00013001"), '"b"')
    draw = charts.chart_picture.picture
    assert (draw(data, "bars()", 600, 400, "light") != draw(plain, "bars()", 600, 400, "light"))[:, -32:].any()


@pytest.mark.parametrize("note, title, told", [("\U00013000", "", False), ("", "\U00013000", True)])
def test_only_letters_that_are_drawn_are_told(words_of, note, title, told):
    rows = [{"name": "a", "value": 1, "note": note}, {"name": "b", "value": 2, "note": ""}]
    assert any("typeface" in word for word in words_of(rows, f'frame(title="{title}"); bars()')) == told


SILENT = [
    ("rect(h=n, opacity=1, x=2); rect(h=n, opacity=3)", "rect(h=n); rect(h=n)", "rect(opacity, x) is not drawn"),
    ("spread(a, alignment=end) . rect(h=n)", "spread(a) . rect(h=n)", "spread(alignment) is not drawn"),
    ("spread(n, by=a) . rect(h=n)", "spread(a) . rect(h=n)", "n alone in spread(...) has no effect; write key=value"),
    ("spread(a) . text(a, stroke=ink)", "spread(a) . text(a)", "text(stroke) is not drawn"),
    ("scatter(x=n, y=n) . line(fill=ink)", "scatter(x=n, y=n) . line()", "line(fill) is not drawn"),
    ("bars(n)", "bars()", "n alone in bars(...) has no effect; write key=value"),
    ("spread(a) . rect(n, h=n)", "spread(a) . rect(h=n)", "n alone in rect(...) has no effect; write key=value"),
    ("bars().rect(h=n).blob()", "bars()", ".rect, .blob behind bars(...) has no effect"),
    ("frame(title=t).x(n); bars()", "frame(title=t); bars()", ".x behind frame(...) has no effect"),
    ("rect(h=n).name(d, b=1)", "rect(h=n)", "name(b) is not drawn"),
    ("circle().name(d); select(d).spread(a).enclose()", "circle().name(d); select(d).enclose()",
     ".spread behind select(...) has no effect"),
    ("circle().name(d); select(d, b=1).group().enclose()", "circle().name(d); select(d).enclose()",
     "select(b) is not drawn"),
    ("circle().name(d); select(d).group(z).enclose()", "circle().name(d); select(d).enclose()",
     "group(z): not every row has that column"),
    ("spread(a) . text(k)", None, "text(k): rows without that column show its name"),
    ("frame(picture=9); bars()", "bars()", "frame(picture=9) has no effect: data has no such picture"),
    ("scatter(x=n, y=n) . line(fill=a)", None, "line(fill) divides lines and does not colour them; stroke does"),
]


@pytest.mark.parametrize("said, drawn, note", SILENT, ids=[said for said, _, _ in SILENT])
def test_what_a_saved_spec_says_in_vain_is_drawn_as_ever_and_told_once(words_of, charts, said, drawn, note):
    rows = [{"a": "one", "n": 1, "k": "own"}, {"a": "two", "n": 2}]
    assert words_of(rows, said).count(note) == 1
    assert drawn is None or note not in words_of(rows, drawn)
    if drawn:
        said, drawn = (charts.chart_picture.picture(json.dumps(rows), spec, 500, height, "light")
                       for spec, height in ((said, 400 + charts.chart_picture.NOTE), (drawn, 400)))
        assert torch.equal(said[:, :400], drawn)


def test_a_sentence_stops_no_chart_that_has_room_without(charts):
    heights = [charts.chart_picture.picture('[{"n": 1}]', spec, 200, 128, "light").shape[1]
               for spec in ("spread(n) . rect(h=n)", "spread(n, alignment=end) . rect(h=n, opacity=1)")]
    assert heights == [128, 128 + 2 * charts.chart_picture.NOTE]
