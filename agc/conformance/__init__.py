"""What holds for every entry of an axis: run by the tests, and by ``agc check`` on any entry."""
