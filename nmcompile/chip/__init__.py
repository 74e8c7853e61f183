"""What a chip is: its tables, its arithmetic, the Program and its checks."""
