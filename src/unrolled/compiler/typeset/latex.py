"""The printer to LaTeX, with nothing that MathJax, KaTeX or GitHub lack."""

from __future__ import annotations

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
from .names import GREEK

_SIGNS = {"−": "-", "∘": r"\circ", "·": r"\cdot", "≤": r"\le", "≥": r"\ge"}
_COMMANDS = frozenset({"tanh", "exp", "log", "sin", "cos", "max", "min"})
_LETTERS = {letter: f"\\{name}" for name, letter in GREEK.items()} | {
    "ε": r"\varepsilon",
    "φ": r"\varphi",
    "ο": "o",
    "Φ": r"\Phi",
    "∞": r"\infty",
    "ℓ": r"\ell",
}
_BRACKETS = {"(": ("(", ")"), "[": ("[", "]"), "|": (r"\lvert ", r" \rvert")}


def latex(program: Program) -> str:
    """An ``aligned`` environment with one line for each equation, to be put between ``$$``."""
    lines = [f"{_print(e.left)} &= {_print(e.right)}" for e in equations(program)]
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _print(node: Node) -> str:
    match node:
        case Name():
            return spell(node)
        case Number(digits, None):
            return _LETTERS.get(digits, digits)
        case Number(digits, exponent):
            power = f"10^{{{exponent}}}"
            return power if digits == "1" else rf"{digits} \cdot {power}"
        case Sign(text):
            return _SIGNS.get(text, text)
        case Row(items):
            pairs = zip((None, *items[:-1]), items, strict=True)
            text = "".join(_spaced(item, before) for before, item in pairs)
            return text.replace("- ", "-", 1) if items[0] == Sign("−") else text
        case Fraction(top, bottom):
            return rf"\frac{{{_print(top)}}}{{{_print(bottom)}}}"
        case Power(base, exponent):
            text, raised = _print(base), _print(exponent)
            # TeX refuses a second thing raised, which a prime is.
            text = f"{{{text}}}" if "'" in text else text
            return f"{text}^{raised}" if len(raised) == 1 else f"{text}^{{{raised}}}"
        case Root(body):
            return rf"\sqrt{{{_print(body)}}}"
        case Brackets(body, kind):
            return _bracketed(_print(body), kind, tall(body))
        case Apply(function, arguments):
            text = ", ".join(map(_print, arguments))
            return _function(function) + _bracketed(text, "(", any(map(tall, arguments)))
        case Cases(branches, otherwise):
            lines = [
                rf"{_print(value)} & \text{{if }} {_print(condition)}"
                for value, condition in branches
            ]
            lines.append(rf"{_print(otherwise)} & \text{{otherwise}}")
            return r"\begin{cases} " + r" \\ ".join(lines) + r" \end{cases}"


def _spaced(item: Node, before: Node | None) -> str:
    """An item of a row after the one before it. A word needs room that TeX does not give it."""
    text = _print(item)
    if before is None:
        return text
    word = text.startswith(r"\mathrm") and not isinstance(before, Sign)
    return rf" \, {text}" if word else f" {text}"


def _bracketed(text: str, kind: str, grow: bool) -> str:
    left, right = _BRACKETS[kind]
    if grow:
        return rf"\left{left.strip()} {text} \right{right.strip()}"
    return f"{left}{text}{right}"


def _function(name: str) -> str:
    if name in _COMMANDS:
        return f"\\{name}"
    return _LETTERS.get(name) or rf"\mathrm{{{_escaped(name)}}}"


def spell(name: Name, subscript: bool = False) -> str:
    """A name in LaTeX."""
    # An index t would be the time.
    if (len(name.letter) > 1 and not name.letter.isdigit()) or (subscript and name.letter == "t"):
        text = rf"\mathrm{{{_escaped(name.letter)}}}"
    else:
        text = _LETTERS.get(name.letter, name.letter)
    for accent in name.accents:
        text = f"{text}'" if accent == "prime" else rf"\{accent}{{{text}}}"
    indices = [spell(index, subscript=True) for index in name.subscripts]
    if name.time is not None:
        indices.append("t" if name.time == 0 else f"t{name.time}")
    joined = ",".join(indices)
    if not joined:
        return text
    return f"{text}_{joined}" if len(joined) == 1 else f"{text}_{{{joined}}}"


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")
