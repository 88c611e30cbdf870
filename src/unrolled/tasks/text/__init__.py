"""Models of text: train on text, write text, score text."""
