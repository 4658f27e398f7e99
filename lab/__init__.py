"""The two-region lab: AWS as the product sees it, on one machine.

The lab imports nothing of the product and the product nothing of the lab: all they share is the AWS API.
"""
