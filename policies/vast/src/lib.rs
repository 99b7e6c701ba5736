//! Scales by work per second, as Vast.ai documents it.
