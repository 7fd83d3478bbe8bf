//! Prints the JSON Schema of `paastech.yaml`: `cargo run -p pomegranate --example schema > docs/paastech.schema.json`.

fn main() {
    println!("{}", pomegranate::manifest_schema());
}
