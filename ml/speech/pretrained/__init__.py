"""Models that stand on weights others trained: optional, and named as pretrained everywhere.

Their authors trained on speech that we cannot name, so "held out" holds for what we fit on top, not
for the weights below.
"""
