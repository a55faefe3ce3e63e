"""Container images: what they are built from, the forms they are built in, and a trial of each."""
