"""An index as a tool of agents: the Model Context Protocol, over stdin and stdout or over HTTP."""
