//! The head behind a client nobody here wrote, over a stream in memory.

mod broken;
mod identities;
mod messages;
mod twins;
mod world;
