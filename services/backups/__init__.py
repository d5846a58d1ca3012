"""Backups: the database as of one moment, and every object that its rows speak of.

``target`` knows where they lie, ``creating`` makes one, ``checking`` reads it again,
``pruning`` lets go of old ones, ``restoring`` makes a database and a store of one.
"""
