"""Nova's own tests over our driver: `nox -s nova_ci`.

`__main__` starts a simulated host and a Glance, and runs, in an environment of nova's own:

`virt_driver`   level 1: nova's tests of a virt driver (`_VirtDriverTestCase`)
`functional`    level 2: nova's services and REST API, with our driver as the compute

Both are programs for that environment, and import `inside`, which counts what was exercised.
"""
