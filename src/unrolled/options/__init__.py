"""Options of every layer: one file per option, and one line for it in `keywords.py`.

An option rewrites a cell's program, sets initial values, or acts on U in every call; it is no case
in the engine or in a layer. So it works on any cell, and options combine. Layers, errors, the
command line and the docs' table have what they know of one from its declaration. Torch is imported
where an option uses it, so that the command line reads options without it.
"""

from .keywords import OPTIONS as OPTIONS
from .keywords import Keywords as Keywords
from .keywords import with_flags as with_flags
from .keywords import with_options as with_options
from .option import RECURRENT as RECURRENT
from .option import Option as Option
from .programs import variant_of as variant_of
from .programs import vary as vary
from .variant import Variant as Variant
