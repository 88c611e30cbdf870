"""A look at a text before training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from unrolled.tasks.text import corpus
from unrolled.tasks.text.options import TextOptions
from unrolled.training.task import Inspection

RARE = 10
"""Characters that stand in the text less often are hardly learned."""


def inspect(options: TextOptions) -> Inspection:
    """Size and characters of a text, and what of the validation text is new.

    Raises:
        UserError: A file cannot be read, or is not text.
    """
    counts: Counter[str] = Counter()
    lines: Counter[int] = Counter()
    for name in options.data.data:
        for block in corpus.read_lines(Path(name)):
            for line in block:
                counts.update(line)
                counts["\n"] += 1
                lines[hash(line)] += 1
    total = counts.total()
    training = options.training
    need = training.batch_size * training.seq_len + 1
    held = 0 if options.data.val_data else int(total * options.data.val_fraction)
    facts: dict[str, Any] = {
        "characters": total,
        "different characters": len(counts),
        "lines": lines.total(),
        "different lines": len(lines),
        f"characters that stand there less than {RARE} times": _listed(
            [character for character, count in counts.items() if count < RARE]
        ),
        "characters kept for validation": held,
        "updates of an epoch": max(0, (total - held - 1) // (need - 1)),
    }
    warnings = []
    if total - held < need:
        warnings.append(
            f"text too short: --batch-size {training.batch_size} × --seq-len {training.seq_len} "
            f"needs {need} characters to train on, there are {total - held}"
        )
    if options.data.val_data:
        unseen: Counter[str] = Counter()
        common = others = 0
        for name in options.data.val_data:
            for block in corpus.read_lines(Path(name)):
                for line in block:
                    unseen.update(character for character in line if character not in counts)
                    others += bool(line.strip())
                    common += bool(line.strip()) and hash(line) in lines
        facts["lines of the validation text that stand in the training text"] = common
        if unseen:
            warnings.append(
                f"{unseen.total()} characters of the validation text are not in the training "
                f"text: {_listed(list(unseen))}"
            )
        if others and common > others / 10:
            warnings.append(
                f"{common / others:.0%} of the validation lines stand in the training text: "
                "the score will be better than on new text"
            )
    return Inspection(facts, warnings)


def _listed(characters: list[str]) -> str:
    shown = " ".join(repr(character)[1:-1] for character in sorted(characters)[:20])
    more = f" and {len(characters) - 20} more" if len(characters) > 20 else ""
    return f"{len(characters)}: {shown}{more}" if characters else "none"
