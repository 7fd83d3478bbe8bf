//! Prints the API's document: `cargo run -p paastech-api --example openapi > docs/openapi.json`.

fn main() {
    println!("{}", paastech_api::openapi());
}
