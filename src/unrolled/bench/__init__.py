"""Speed beside other libraries, measured in one run.

>>> from unrolled import bench
>>> report = bench.run(bench.Options(shapes=("medium",), cells=("gru",)))
>>> report.results[0].ratio("torch")
"""

from unrolled.bench.options import Options, OptionsError
from unrolled.bench.processes import run
from unrolled.bench.report import Report, Result

__all__ = ["Options", "OptionsError", "Report", "Result", "run"]
