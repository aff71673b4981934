"""Reading properties: pages of them, changes of them, and the traversals between objects.

A helper of floor 4: stands on the session. May import nothing from the client or the driver.
"""
