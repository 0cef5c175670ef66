//! The custom resources, against a stand-in for the API server.
