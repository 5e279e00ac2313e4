"""Azure Machine Learning pipelines on timers: entries, slots, receipts, submissions, follow-up."""
