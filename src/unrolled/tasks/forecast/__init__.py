"""The forecasting task: the next steps of numeric series."""
