"""Counting and measuring; the only room that imports torch and the models' code.

Importing this package imports neither: its modules do, where they are used.
"""
