"""What data sets share: preparing and reading files, loading and augmenting batches."""
