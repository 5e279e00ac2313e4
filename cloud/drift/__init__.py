"""What the app sees in production, as evidence: statistics, comparison with a baseline, report, retraining."""
