"""A model that this machine cannot hold is refused before anything is made for it."""

from __future__ import annotations

import pytest

from unrolled.errors import UserError
from unrolled.tasks import model_memory
from unrolled.tasks.model_memory import check_memory, weight_count
from unrolled.tasks.recurrent import RecurrentOptions


def test_a_model_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = RecurrentOptions(cell="slstm", hidden_size=100)
    check_memory(given, 3)
    monkeypatch.setattr(model_memory, "memory", lambda: 4.0 * weight_count(given, 3) + 4 * 10)
    check_memory(given, 3, others=10)
    with pytest.raises(UserError, match="--hidden-size 100 --num-layers 1: the model does not fit"):
        check_memory(given, 3, others=11)
    check_memory(RecurrentOptions(cell="gru", hidden_size=20), 3)
