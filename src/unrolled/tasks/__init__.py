"""Jobs for recurrent networks: each has its data format, its model, its metric and its use."""
