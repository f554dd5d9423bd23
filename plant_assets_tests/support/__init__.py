"""What tests and benches share: stores, servers, engines, and what they say."""
