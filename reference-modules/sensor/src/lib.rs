//! A module that makes readings.
