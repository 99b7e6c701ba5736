//! Scales like Ray Serve.
