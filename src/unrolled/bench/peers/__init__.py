"""The libraries, one module each, which has ``prepare(problem)`` and is imported when needed."""
