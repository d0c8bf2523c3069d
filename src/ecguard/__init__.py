"""Tell when a posterior inferred from an electrochemical sensor's trace can be trusted."""
