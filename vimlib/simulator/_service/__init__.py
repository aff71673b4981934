"""The service: ServiceInstance, sessions, tasks, events, settings."""
