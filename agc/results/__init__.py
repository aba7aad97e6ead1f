"""From the records of finished cells to tables and figures: collect, compare, write."""
