"""Hand-made features: what stands in a window, at the edges of a sentence, and pairs."""

from __future__ import annotations

from unrolled.tasks.tag.handmade import features, pairs, shape


def test_runs_of_a_kind_count_once_in_shapes() -> None:
    assert shape("747-B") == "d-X"
    assert shape("McDonald's") == "XxXx'x"


def test_words_have_affixes_flags_and_neighbours() -> None:
    (row,) = features(("Zoë",), character_level=False)
    assert {"w=zoë", "shape=Xx", "first=zo", "last=oë", "title", "-1none", "2none"} <= set(row)
    assert "first=zoë" in row


def test_characters_have_runs_and_kinds() -> None:
    rows = features(tuple("가 1"), character_level=True)
    assert {"0:1=가", "0:2=가| ", "1kind=Zs", "2kind=digit"} <= set(rows[0])


def test_pairs_keep_the_order_and_the_edges() -> None:
    first, second = pairs(("New", "York"))
    assert {"w-1w= new", "ww1=new york", "s-1s= Xx", "sw1=Xx york"} <= set(first)
    assert {"w-1w=new york", "ww1=york ", "w-1s=new Xx"} <= set(second)
    assert pairs(()) == []
