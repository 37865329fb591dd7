//! What reports promise, shown on made-up runs.

mod awkward;
mod console;
mod files;
mod html;
mod json;
mod junit;
mod kill_matrix;
mod record;
mod sample;
