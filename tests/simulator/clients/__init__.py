"""The clients that play the scenarios, each behind the same verbs (`base.Client`)."""
