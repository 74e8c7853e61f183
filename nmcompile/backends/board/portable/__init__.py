"""Files that images carry along: the runner, the virtual board, the table of registers."""
