"""Where a grid stands at any moment, read from the files of its cells by whoever asks."""
