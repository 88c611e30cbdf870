"""Where will the ball be next? A forecast from one position, and one from several.

A ball flies under gravity, bounces off the floor and loses a little of its speed each time; a
camera sees its height with some noise. From a single height nobody can tell where it will be next:
it may be going up or down. From several heights its speed can be told, and the next bounce as well.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import unrolled

FOLDER = Path("runs")
STEP = 0.05  # seconds between two pictures
GRAVITY, BOUNCE, NOISE = 9.81, 0.85, 0.01


def throw(draw: random.Random, steps: int) -> list[float]:
    """Heights of a ball in metres, picture by picture."""
    height, speed = draw.uniform(0.5, 2.5), draw.uniform(-2.0, 4.0)
    seen = []
    for _ in range(steps):
        seen.append(height + draw.gauss(0, NOISE))
        for _ in range(50):  # small steps, so that a bounce is where the floor is
            speed -= GRAVITY * STEP / 50
            height += speed * STEP / 50
            if height < 0:
                height, speed = -height, -speed * BOUNCE
        if speed**2 / (2 * GRAVITY) + height < 0.3:  # it has come to rest: throw it up again
            speed = draw.uniform(4.0, 6.0)
    return seen


def write_throws(path: Path, *, balls: int = 12, steps: int = 400) -> None:
    """Several balls in one file: a row for each picture."""
    draw = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["unique_id", "ds", "y"])
        for ball in range(balls):
            for step, height in enumerate(throw(draw, steps)):
                rows.writerow([f"ball {ball}", step, round(height, 4)])


def train(data: Path, history: int, max_time: str) -> tuple[Any, Any]:
    """A forecaster of the next six pictures from so many, and how good it is."""
    run = FOLDER / f"ball-{history}"
    ball = unrolled.train(
        "forecast",
        data,
        out=run,
        overwrite=True,
        history=history,
        horizon=6,
        scale="standard",
        max_time=max_time,
    )
    return ball, ball.evaluate([data])


def main(max_time: str = "30s") -> None:
    """Throw, train twice, compare."""
    FOLDER.mkdir(exist_ok=True)
    data = FOLDER / "balls.csv"
    write_throws(data)
    for history in (1, 16):
        ball, found = train(data, history, max_time)
        error, cheap = found.metrics["mae"].value, found.baseline["mae"].value
        seen = "1 position" if history == 1 else f"{history} positions"
        print(f"from {seen}: {100 * error:.1f} cm off, the best cheap method {100 * cheap:.1f} cm")
    for row in list(ball.predict_files([data]))[:6]:
        low, high = row["unrolled-lo-80"], row["unrolled-hi-80"]
        picture = f"{row['unique_id']}, picture {row['ds']}"
        print(f"{picture}: {row['unrolled']:.2f} m ({low:.2f} to {high:.2f})")
    print(f"Its report: {(FOLDER / 'ball-16' / 'report.html').resolve().as_uri()}")


if __name__ == "__main__":
    main()
