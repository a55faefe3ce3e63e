"""Sites: where jobs run, from the sites.yaml of the user and of the project."""
