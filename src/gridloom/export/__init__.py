"""Files of the trained networks for other runtimes; every one is compared with the trained model before it counts."""
