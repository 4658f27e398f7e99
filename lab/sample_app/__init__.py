"""A small web application that writes to the database and to S3: what a user of the pilot light protects."""
