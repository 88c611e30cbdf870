"""Long-term dependency, shown: what cells learn to remember, against how long ago it was.

::

    from unrolled.tasks.lag.options import LagOptions
    from unrolled.tasks.lag.run import run

    if __name__ == "__main__":  # models are trained in processes of their own
        run(LagOptions(cells=("lstm", "lstm+chrono"), lags=(50, 200)), "runs/chrono")
"""
