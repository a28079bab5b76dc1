"""refinebio_assets: gene-expression data, processed uniformly, as Dagster assets."""

__version__ = "0.1.0"
