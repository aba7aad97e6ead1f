"""What READMEs say of the studies: tables and sentences, each made of the studies' own data."""
