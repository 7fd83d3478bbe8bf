//! The engine against a real database, with neighbours that do as the test says.

mod bench;
mod builds;
mod claims;
#[path = "../../tests/it/database.rs"]
mod database;
mod deployments;
mod neighbours;
mod pushes;
