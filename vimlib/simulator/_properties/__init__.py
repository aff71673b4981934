"""The PropertyCollector with property paths, traversals, filters and views."""
