//! Native replicas of Samovar: groups of processes that are started, watched and ended without leaving anything behind.

pub mod devices;
