"""The lens in a browser: a local page with two views, Learn and Inspect."""
