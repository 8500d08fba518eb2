"""What the Makefile's targets do: cluster, images, installation, demo, tests, figures."""
