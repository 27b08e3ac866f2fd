"""Data preparation: official annotation files in, a data set directory out."""
