"""The printer to presentation MathML, in the part of it that browsers share (MathML Core)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from ..program import Program
from .equations import equations
from .layout import (
    Apply,
    Brackets,
    Cases,
    Fraction,
    Name,
    Node,
    Number,
    Power,
    Root,
    Row,
    Sign,
    tall,
)

_ACCENTS = {"tilde": "~", "hat": "^", "bar": "¯"}
_CLOSING = {"(": ")", "[": "]", "|": "|"}

# What is not seen, but read aloud.
_TIMES = "<mo>&#x2062;</mo>"
_TIMES_WORD = '<mo lspace="0" rspace="0.17em">&#x2062;</mo>'
_OF = "<mo>&#x2061;</mo>"

# Core leaves the alignment of columns to CSS. The second value is for browsers in which equations
# are blocks, which the first does not move; others pass it over.
_LEFT_SIDE = '<mtd style="text-align: right; text-align: -webkit-right; padding-right: 0">'
_RIGHT_SIDE = '<mtd style="text-align: left; text-align: -webkit-left; padding-left: 0">'
_CASE = '<mtd style="text-align: left; text-align: -webkit-left">'


def mathml(program: Program) -> str:
    """A ``math`` element in display style, a table of one row for each equation."""
    return table([(e.left, e.right) for e in equations(program)])


def table(lines: Sequence[tuple[Node | None, Node]]) -> str:
    """The same of any lines ``left = right``; without a left side, a line goes on from the last."""
    rows = "\n".join(
        f"<mtr>{_LEFT_SIDE}{_print(left) if left else ''}</mtd>"
        f"{_RIGHT_SIDE}<mrow><mo>=</mo>{_print(right)}</mrow></mtd></mtr>"
        for left, right in lines
    )
    return (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">\n'
        f'<mtable displaystyle="true" columnalign="right left">\n{rows}\n</mtable>\n</math>'
    )


def _print(node: Node) -> str:
    match node:
        case Name():
            return _name(node)
        case Number(digits, None):
            return f"<mn>{digits}</mn>"
        case Number(digits, exponent):
            assert exponent is not None
            raised = f"<mn>{abs(exponent)}</mn>"
            if exponent < 0:
                raised = f"<mrow><mo>−</mo>{raised}</mrow>"
            power = f"<msup><mn>10</mn>{raised}</msup>"
            if digits == "1":
                return power
            return f"<mrow><mn>{digits}</mn><mo>·</mo>{power}</mrow>"
        case Sign("∘"):  # for composed functions, browsers set it closely
            return '<mo lspace="0.22em" rspace="0.22em">∘</mo>'
        case Sign(text):
            return f"<mo>{escape(text)}</mo>"
        case Row(items):
            return _row(items)
        case Fraction(top, bottom):
            return f"<mfrac>{_print(top)}{_print(bottom)}</mfrac>"
        case Power(Name() as base, exponent):
            letter, index = _letter_and_index(base)
            if index:
                return f"<msubsup>{letter}{index}{_print(exponent)}</msubsup>"
            return f"<msup>{letter}{_print(exponent)}</msup>"
        case Power(base, exponent):
            return f"<msup>{_print(base)}{_print(exponent)}</msup>"
        case Root(body):
            return f"<msqrt>{_print(body)}</msqrt>"
        case Brackets(body, kind):
            return _bracketed(_print(body), kind, tall(body))
        case Apply(function, arguments):
            text = '<mo separator="true">,</mo>'.join(map(_print, arguments))
            inside = _bracketed(text, "(", any(map(tall, arguments)))
            return f"<mrow><mi>{escape(function)}</mi>{_OF}{inside}</mrow>"
        case Cases(branches, otherwise):
            rows = [
                f"<mtr>{_CASE}{_print(value)}</mtd>"
                f"{_CASE}<mrow><mtext>if&#xa0;</mtext>{_print(condition)}</mrow></mtd></mtr>"
                for value, condition in branches
            ]
            rows.append(
                f"<mtr>{_CASE}{_print(otherwise)}</mtd>{_CASE}<mtext>otherwise</mtext></mtd></mtr>"
            )
            table = f'<mtable columnalign="left left">{"".join(rows)}</mtable>'
            return f'<mrow><mo fence="true" form="prefix">{{</mo>{table}</mrow>'


def _row(items: tuple[Node, ...]) -> str:
    parts: list[str] = []
    for number, item in enumerate(items):
        if number and not isinstance(item, Sign) and not isinstance(items[number - 1], Sign):
            word = isinstance(item, Apply) and len(item.function) > 1
            parts.append(_TIMES_WORD if word else _TIMES)
        parts.append(_print(item))
    return f"<mrow>{''.join(parts)}</mrow>"


def _bracketed(text: str, kind: str, grow: bool) -> str:
    options = f'fence="true" stretchy="{str(grow).lower()}"'
    left, right = f'<mo form="prefix" {options}>', f'<mo form="postfix" {options}>'
    return f"<mrow>{left}{kind}</mo>{text}{right}{_CLOSING[kind]}</mo></mrow>"


def _name(name: Name, subscript: bool = False) -> str:
    letter, index = _letter_and_index(name, subscript)
    return f"<msub>{letter}{index}</msub>" if index else letter


def _letter_and_index(name: Name, subscript: bool = False) -> tuple[str, str]:
    """What stands on the line, and what stands below it."""
    if name.letter.isdigit():
        text = f"<mn>{name.letter}</mn>"
    else:
        # One letter is italic unless told otherwise; an index t would be the time.
        upright = name.letter in "ΓΔΘΛΞΠΣΥΦΨΩ" or (subscript and name.letter == "t")
        style = ' mathvariant="normal"' if upright else ""
        text = f"<mi{style}>{escape(name.letter)}</mi>"
    for accent in name.accents:
        if accent == "prime":
            text = f"<msup>{text}<mo>′</mo></msup>"
        else:
            text = f'<mover accent="true">{text}<mo>{_ACCENTS[accent]}</mo></mover>'
    indices = [_name(index, subscript=True) for index in name.subscripts]
    if name.time is not None:
        before = f"<mrow><mi>t</mi><mo>−</mo><mn>{-name.time}</mn></mrow>"
        indices.append(before if name.time else "<mi>t</mi>")
    joined = '<mo separator="true">,</mo>'.join(indices)
    return text, f"<mrow>{joined}</mrow>" if len(indices) > 1 else joined
