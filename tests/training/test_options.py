from dataclasses import replace
from pathlib import Path

import pytest

from unrolled.errors import UserError
from unrolled.tasks.text.options import DataOptions, ModelOptions, TextOptions, TextTraining
from unrolled.training.options import TrainingOptions, read_options, write_options


def test_round_trip_through_toml(tmp_path: Path) -> None:
    options = TextOptions(
        data=DataOptions(data=("한글.txt", 'quote " and \\ back'), val_fraction=0.25),
        model=ModelOptions(cell="gru", hidden_size=7, reset_after=False, dropout=0.3),
        training=TextTraining(lr=3e-4, max_time="1h30m", max_steps=12, ema=0.999),
    )
    path = tmp_path / "options.toml"
    write_options(options, path)
    assert read_options(TextOptions, path) == options
    plain = replace(options, training=TextTraining())
    write_options(plain, path)
    assert read_options(TextOptions, path) == plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nhidden = 3", "unknown key 'hidden'"),
        (
            "[model]\nhidden_size = 'x'",
            "hidden_size: expected a whole number from 1 to 65536, got 'x'",
        ),
        (
            "[model]\nhidden_size = true",
            "hidden_size: expected a whole number from 1 to 65536, got True",
        ),
        (
            "[model]\nhidden_size = -1",
            "hidden_size: expected a whole number from 1 to 65536, got -1",
        ),
        ("[model]\ncell = 'gro'", "--cell: unknown cell 'gro'; did you mean"),
        ("[training]\nlr = 0", "lr: expected a number above 0 to 1e+38"),
        ("[training]\nlr = nan", "lr: expected a number above 0 to 1e+38"),
        ("[training]\nmax_time = 'soon'", "--max-time: expected a duration"),
        ("[training]\nclip = -1.0", "clip: expected a number from 0"),
        ("[training]\nema = 1.0", "ema: expected a number from 0 to below 1, got 1"),
        ("[data]\ndata = 'book.txt'", "data: expected a list"),
        (
            "[data]\nval_fraction = 1.5",
            "val_fraction: expected a number from 0 to below 1, got 1.5",
        ),
        ("model = 3", "expected a table"),
        ("[model", "not a valid TOML file"),
        ("a = " + "[" * 10_000, "nested too deeply"),
        ("a = " + "9" * 10_000, "not a valid TOML file"),
        ("a" + ".a" * 3000 + " = 1", "unknown key 'a'"),
        ("[model]\nhidden_size = 0x" + "f" * 9000, "hidden_size: expected a whole number"),
        ("[training]\nlr = " + "9" * 400, "lr: expected a number"),
    ],
)
def test_wrong_options_are_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "options.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_options(TextOptions, path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_any_limit_there_are_ten_epochs() -> None:
    assert TrainingOptions().epochs == 10
    assert TrainingOptions(max_time="1m").epochs is None
    assert TrainingOptions(max_epochs=3).epochs == 3
