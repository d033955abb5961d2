"""The language of the Chart node: one chain of operators that ends in a mark, several layers, or the name of a form.

    frame(title="Points", axes=true); spread(name, dir=x) . rect(h=points, fill=kind)     # bars
    scatter(x=year, y=score) . circle(r=6, fill=artist) . name(dots); select(dots) . group(artist) . enclose(padding=8)
    scatter(x=step, y=loss) . line(stroke=run)
    radar(label=name, value=typicality)

Statements are separated by `;` or new lines, `#` begins a note. A bare first word of an operator is the column it
groups by. Later statements are drawn on top; `frame` says how the whole is presented.
"""
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..shared.text_syntax import BLANKS_OF_A_LINE, Reader, check_length, shorten
from .chart_types import CHART_TYPES
from .grammar import grammar
from .grammar.frame import Frame

TOKEN = re.compile(r"""(?:
    (?P<note>\#(?![0-9a-fA-F]{6}\b)[^\n]*) | (?P<end>[;\n]) | (?P<colour>\#[0-9a-fA-F]{6}\b) |
    (?P<quoted>"[^"\n]*"|'[^'\n]*') | (?P<number>[-+]?\d+(?:\.\d+)?(?![\w])) |
    (?P<word>[^\W\d][\w-]*) | (?P<sign>[().,=])
    )""", re.VERBOSE)
WORDS = {"true": True, "false": False}
FRAME_WORDS = {"title", "w", "h", "axes", "legend", "coord", "x", "y", "theme", "rows", "picture"}


class Call(NamedTuple):
    """`kind(first, key=value)` as it was written."""
    kind: str
    first: str | None
    options: dict[str, Any]


class Spec(NamedTuple):
    """A chart to draw: `chains` of calls, one a layer, or a single form; and how to present it, as `frames` say."""
    chains: list[list[Call]]
    frame: dict[str, Any]
    frames: list[list[Call]]

    @property
    def chart_type(self) -> Call | None:
        call = self.chains[0][0]
        return call if call.kind in CHART_TYPES else None


def parse(text: str) -> Spec:
    """Raises ValueError that quotes the piece which cannot be read."""
    chains, frame, frames = [], {}, []
    for statement in _statements(text):
        chain = _chain(statement)
        if chain[0].kind == "frame":
            frame |= _checked(chain[0], FRAME_WORDS)
            frames.append(chain)
        else:
            chains.append(chain)
    if not chains:
        raise ValueError(f"spec: expected at least one mark or one of {', '.join(CHART_TYPES)}, got nothing to draw")
    if len(chains) > 1 and any(chain[0].kind in CHART_TYPES for chain in chains):
        raise ValueError("spec: a form such as radar(...) stands alone, got it beside other statements")
    return Spec(chains, frame, frames)


def expression(spec: Spec, rows: grammar.Rows) -> grammar.Mark | grammar.Chart:
    """The expression of the grammar that the chains stand for. Raises ValueError for options that do not exist."""
    charts = [chart for number, chain in enumerate(spec.chains) for chart in _charts(chain, rows, f"layer {number}")]
    return charts[0] if len(charts) == 1 else grammar.layer(charts)


def presentation(spec: Spec, **defaults) -> Frame:
    options = {key: value for key, value in spec.frame.items() if key in Frame._fields}
    if options.get("coord", "flat") not in ("flat", "polar"):
        raise ValueError(f"spec: coord expected flat or polar, got {shorten(str(options['coord']), 48)!r}")
    for key in options.keys() & {"w", "h"}:
        grammar.check_pixels(f"spec: {key}", options[key], 1)
    for key in options.keys() & {"title", "x", "y"}:
        if isinstance(options[key], bool):
            raise ValueError(f"spec: {key} expected words, got {options[key]!r}")
        options[key] = str(options[key])    # a year stands as a number there
    return Frame(**{**defaults, **options})


def _statements(text: str) -> list[list[tuple[str, str]]]:
    """Tokens of every statement; a new line inside brackets ends nothing."""
    check_length(text, "spec")
    statements, depth, reader = [[]], 0, Reader(text, BLANKS_OF_A_LINE)
    while not reader.ended:
        token = reader.take(TOKEN)
        if not token:
            raise ValueError(f"spec: cannot read {shorten(reader.rest, 24)!r}")
        kind, word = token.lastgroup, token.group(token.lastgroup)
        depth += {"(": 1, ")": -1}.get(word, 0) if kind == "sign" else 0
        if kind == "end" and (word == ";" or not depth):
            statements.append([])
        elif kind not in ("end", "note"):
            statements[-1].append((kind, word))
    return [statement for statement in statements if statement]


def _chain(tokens) -> list[Call]:
    """`a(...) . b(...)` -> its calls."""
    calls, at = [], 0
    while at < len(tokens):
        call, at = _call(tokens, at)
        calls.append(call)
        if at < len(tokens):
            _expect(tokens, at, ".")
            at += 1
            if at == len(tokens):
                raise ValueError(f"spec: nothing follows the last dot of {_quote(tokens)}")
    return calls


def _call(tokens, at) -> tuple[Call, int]:
    if tokens[at][0] != "word":
        raise ValueError(f"spec: expected a name such as spread or rect, got {_quote(tokens[at:at + 1])} in "
                         f"{_quote(tokens)}")
    kind, at = tokens[at][1], at + 1
    first, options = None, {}
    if at == len(tokens) or tokens[at][1] != "(":
        return Call(kind, first, options), at
    at += 1
    while at < len(tokens) and tokens[at] != ("sign", ")"):
        if at + 1 < len(tokens) and tokens[at + 1] == ("sign", "="):
            if at + 2 >= len(tokens) or tokens[at + 2][0] == "sign":
                raise ValueError(f"spec: {shorten(tokens[at][1], 48)} expected a value after =, in {_quote(tokens)}")
            options[tokens[at][1]] = _value(*tokens[at + 2])
            at += 3
        elif first is None and not options and tokens[at][0] != "sign":
            first, at = str(_value(*tokens[at])), at + 1
        else:
            raise ValueError(f"spec: expected key=value, got {_quote(tokens[at:at + 1])} in {_quote(tokens)}")
        if at < len(tokens) and tokens[at] == ("sign", ","):
            at += 1
    _expect(tokens, at, ")")
    return Call(kind, first, options), at + 1


def _expect(tokens, at, sign):
    if at >= len(tokens) or tokens[at] != ("sign", sign):
        found = _quote(tokens[at:at + 1]) if at < len(tokens) else "the end"
        raise ValueError(f"spec: expected {sign!r}, got {found} in {_quote(tokens)}")


def _value(kind: str, word: str):
    if kind == "number":
        number = float(word)
        if not math.isfinite(number):
            raise ValueError(f"spec: expected a number of at most 308 digits, got {shorten(word, 24)}")
        return number if "." in word else int(word)
    return word[1:-1] if kind == "quoted" else WORDS.get(word, word)


def _quote(tokens) -> str:
    return repr("".join(word for _, word in tokens)[:48])


def _charts(chain: list[Call], rows, tag: str) -> list[grammar.Chart]:
    """One chart, or two where a line is asked for without naming what it connects."""
    if chain[-1].kind == "name":
        chain, tag = [*chain[:-1]], chain[-1].first or tag
        named = True
    else:
        named = False
    source = rows
    if chain and chain[0].kind == "select":
        source, chain = grammar.select_all(chain[0].first or ""), chain[1:]
    *operators, mark = chain or [Call("nothing", None, {})]
    flow = [_operator(call) for call in operators]
    if mark.kind in ("line", "enclose") and source is rows:
        return [grammar.chart(rows).flow(*flow).mark(grammar.blank().name(tag)),
                grammar.chart(grammar.select_all(tag)).mark(_mark(mark))]
    drawn = _mark(mark)
    return [grammar.chart(source).flow(*flow).mark(drawn.name(tag) if named else drawn)]


def _operator(call: Call) -> grammar.Operator:
    by = {} if call.first is None else {"by": call.first}
    return _build(call, {k: getattr(grammar, k) for k in grammar.ARRANGES}, {**by, **call.options}, "an operator")


def _mark(call: Call) -> grammar.Mark:
    makers = {k: getattr(grammar, k) for k in grammar.CHANNELS}
    options = {"text": call.first, **call.options} if call.first and call.kind == "text" else call.options
    return _build(call, makers, options, "a mark")


def _build(call: Call, makers: Mapping[str, Callable], options, what: str):
    if call.kind not in makers:
        raise ValueError(f"spec: expected {what}, one of {', '.join(makers)}; got {shorten(call.kind, 48)!r}")
    try:
        return makers[call.kind](**options)
    except ValueError as error:
        raise ValueError(f"spec: {error}") from None


def _checked(call: Call, names) -> dict:
    if unknown := sorted(call.options.keys() - names):
        raise ValueError(f"spec: {call.kind} expected one of {', '.join(sorted(names))}; got "
                         f"{shorten(unknown[0], 48)!r}")
    return call.options
