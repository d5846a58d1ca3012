"""Models that stand on weights others trained: optional, and named as pretrained everywhere.

Their authors heard speech that we cannot name, so "never heard" holds for what we fit on top, not
for the weights below.
"""
