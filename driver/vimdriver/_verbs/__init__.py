"""The shape of every verb that writes: gather, plan, run.

*gather* reads all that the verb needs from the host into one value, in few calls. *plan* is pure: the
caller's wish and that value in, a `Plan` out, which prints as a list of steps. Each `Step` has its
call, its undo, and its probe: how to read from the host whether an unanswered call was executed.
*run* is `execute`, the same for every verb: it writes the journal before a step begins, shields
calls that have been sent, waits for tasks, probes unknown outcomes, and undoes the steps in reverse
when a later one fails or the caller is cancelled.

A verb is a coroutine function that gathers and returns its plan::

    @verb
    async def power_on(host: Host, ref: str) -> Plan[Instance]:
        machine = await find(host, ref)
        return Plan(f"power on {ref}", (power_step(machine),), reads(machine))

One that only reads is a coroutine function with `@query` that returns its result. Verbs that have a
parameter `ref` take turns at the machine that it names.

To add one: write it in the module of its noun, below `_instances`, `_networks` or `_host`; name it in
`ESXDriver` (``power_on = power.power_on``), which gives the method and, as
``driver.power_on.plan("web")``, its dry run; give it a row in `vimdriver._cli.app`
(``"instance start": ("verbs:power_on", "Power a machine on.")``), which makes a command of it with
the verb's arguments and help, `--dry-run`, and the result's `to_json` as its JSON; then a test, and
a line in the changelog.

`host`     the argument of every verb: client, settings, journal, and files of datastores
`plan`     `Step`, `Plan`, and `Run`, which holds the results of steps (no I/O)
`execute`  the executor, and `Rollback`, the undo stack that it and the uploads use
`verb`     the decorators, which make a method of a function that returns a plan, or only reads
`turns`    verbs that work on one object go one after another

Nothing in here depends on machines or networks.
"""

from vimdriver._verbs.execute import Rollback, after_change, execute
from vimdriver._verbs.host import Host
from vimdriver._verbs.plan import Plan, Run, Step, already, returns
from vimdriver._verbs.verb import Query, Verb, Within, query, unblocking_verb, urgent_verb, verb

__all__ = [
    "Host",
    "Plan",
    "Query",
    "Rollback",
    "Run",
    "Step",
    "Verb",
    "Within",
    "after_change",
    "already",
    "execute",
    "query",
    "returns",
    "unblocking_verb",
    "urgent_verb",
    "verb",
]
