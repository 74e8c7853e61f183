"""Accounting of resources, accuracy and activity; reports and pictures."""
