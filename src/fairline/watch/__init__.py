"""Watch the exchange around the clock: scans on a schedule, the store, alerts and alarms."""
