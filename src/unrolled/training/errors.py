"""The one exception for what the user can put right."""

from __future__ import annotations

USAGE = 2
"""Exit code for a mistake in what was asked for: an option, a file, a folder."""

RUNTIME = 1
"""Exit code for something that went wrong on the way, such as a full disk or a diverging loss."""


LONGEST = 1000
"""Characters of a message; of one that quotes more, beginning and end."""


class UserError(Exception):
    """A problem that one sentence explains: what was expected, what came, where.

    The command line prints the sentence and exits with ``code``, without a traceback.

    Attributes:
        code: The exit code, ``USAGE`` or ``RUNTIME``.
    """

    def __init__(self, message: str, *, code: int = USAGE) -> None:
        # Names of files and characters of prompts come from outside and may hold line breaks or
        # lone surrogates; the sentence stays one printable line.
        line = " ".join(message.split())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
        super().__init__(line.encode("utf-8", "backslashreplace").decode("utf-8"))
        self.code = code


def reason(error: OSError) -> str:
    """Words of an operating-system error, without its number."""
    return (error.strerror or str(error) or type(error).__name__).lower()
