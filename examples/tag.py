"""Who travels where, and when? A tagger learns to find people, places and days in sentences.

The sentences are made of a few patterns; those to be tagged at the end hold names that training
never saw, so the tagger has to know a name by the words around it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import unrolled

FOLDER = Path("runs")
WORDS = {
    "PERSON": ["Ada", "Alan", "Barbara", "Claude", "Edsger", "Frances", "Grace", "John", "Ken"],
    "PLACE": ["Oslo", "Lima", "Kyoto", "Turin", "Porto", "Seoul", "Quito", "Perth", "Leeds"],
    "DAY": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "tomorrow", "tonight"],
}
PATTERNS = [
    "PERSON flies to PLACE on DAY",
    "on DAY the train from PLACE to PLACE is late , said PERSON",
    "DAY is when PERSON and PERSON meet in PLACE",
    "nobody in PLACE has seen PERSON since DAY",
    "the talk is about nothing at all",
]
UNSEEN = ["Radia flies to Vilnius on Friday", "nobody in Yerevan has seen Margaret since Sunday"]


def write_sentences(path: Path, count: int) -> None:
    """Write tagged sentences, one JSON object each."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            pattern = draw.choice(PATTERNS).split()
            tokens = [draw.choice(WORDS[word]) if word in WORDS else word for word in pattern]
            tags = [f"B-{word}" if word in WORDS else "O" for word in pattern]
            file.write(json.dumps({"tokens": tokens, "tags": tags}) + "\n")


def main(max_time: str = "40s") -> None:
    """Write the sentences, train, and tag new ones."""
    FOLDER.mkdir(exist_ok=True)
    data = FOLDER / "travels.jsonl"
    write_sentences(data, 1000)
    travels = unrolled.train(
        "tag",
        data,
        out=FOLDER / "travels",
        overwrite=True,
        hidden_size=32,
        word_dropout=0.5,
        max_time=max_time,
    )
    for found in travels.predict(UNSEEN):
        print(found["text"])
        for span in found["spans"]:
            print(f"  {span['label']:7} {span['text']}  ({span['confidence']:.2f})")


if __name__ == "__main__":
    main()
