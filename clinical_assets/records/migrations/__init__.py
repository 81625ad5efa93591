"""Steps from one version of the tables of records to the next, run by alembic.

What belongs here: one module per version in ``versions``, and running them (``runner``). What does not: the tables as
they are now (``records.schema``), from which a new database is made at once.

To change a table: raise ``schema.VERSION``, change ``schema``, and add ``versions/r0003_<what>.py`` with the revision
``"0003"``. A test compares what the steps make with what ``schema`` makes. A step that only adds sets ``ADDS_ONLY``;
any other one is run by ``clinical-assets records upgrade`` alone, never on opening. A step never changes what is
recorded.
"""
