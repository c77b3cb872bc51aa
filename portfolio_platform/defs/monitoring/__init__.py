"""Alert rules, alerts and notifications."""
