"""Drift: do the newest videos differ from those that the champion learned on?"""
