"""The typed core of Pilot Light, shared by every function.

``decide`` turns facts into decisions and knows no AWS; ``aws`` reads and changes AWS and never decides;
a function in ``functions/`` joins the two.
"""
