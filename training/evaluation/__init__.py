"""The paper's two evaluations, baselines to hold them against, and the report."""
