"""The hot line: transport, Faust app, agents, writer."""
