"""The sections of a study's page, a file each."""
