"""From the models in `agentsession_core.api` to the CustomResourceDefinitions in `crds/`."""
