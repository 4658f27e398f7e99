"""The game day: what happens to a workload, and to its data, when its region is lost.

It knows the lab only by its address: the AWS API, the load balancers and the control API under ``/_lab/``. Nothing in
here imports the emulator, and nothing but the loss itself could not be done to two real regions.

``model``     what a game day establishes (data, nothing else)
``timeline``  from an execution's history to steps (pure)
``audit``     from the client's log and the rows that are there to what was lost (pure), and the reading of the rows
``checks``    from all that to what held and what did not (pure)
``page``      from ``report.json`` to a page (pure)
``workload``  the clients that write while all this happens
``cloud``     what is asked of the AWS API and of the lab's control API
``terminal``  live progress
``driver``    joins them, phase by phase
"""
