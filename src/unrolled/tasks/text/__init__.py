"""Character models: train on text, write text, score text."""
