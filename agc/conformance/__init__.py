"""What holds for every entry of an axis: run by the tests, and by ``agc check`` on any entry.

A module for each axis, and the small problems that its checks are run on.
"""
