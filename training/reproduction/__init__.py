"""The paper's experiments as one report: which runs there are, their scores, and the tables and figures of them."""
