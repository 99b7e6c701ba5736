//! Scales like the app replicas and the reusable containers of Flyte 2.
