"""Classification: a text or a numeric series in, one or several labels out."""
