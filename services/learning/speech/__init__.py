"""Speech: which language is spoken, learned from what was collected and labelled, and evaluated."""
